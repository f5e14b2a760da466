package deaddrop

import (
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
)

// put makes an object as any other tool would.
func put(t *testing.T, b *Bucket, key, content string, options minio.PutObjectOptions) {
	t.Helper()
	options.DisableContentSha256 = true
	_, err := b.client.Client.PutObject(t.Context(), b.name, key, strings.NewReader(content), int64(len(content)), options)
	if err != nil {
		t.Fatal(err)
	}
}

func TestABucketIsPulledOrRefused(t *testing.T) {
	metadata := func(sha string) minio.PutObjectOptions {
		return minio.PutObjectOptions{UserMetadata: map[string]string{"sha256": sha}}
	}
	redirect := func(to string) minio.PutObjectOptions { return minio.PutObjectOptions{WebsiteRedirectLocation: to} }
	for _, test := range []struct {
		name    string
		key     string
		content string
		options minio.PutObjectOptions
		want    string // of the error; empty: it is pulled
		as      string
	}{
		{"an object without a hash", "os/x", "abc", minio.PutObjectOptions{}, "", "abc"},
		{"a redirect with contents", "os/a.latest.tar.minisig", "abc", redirect("/" + tarKey(v1) + ".minisig"), "", "-> psyopsOS.x86_64." + v1 + ".tar.minisig"},
		{"what some tools make for a folder", "folder/", "", minio.PutObjectOptions{}, "", ""},
		{"an object that is not what its hash says", "os/x", "abc", metadata("00"), "its metadata say 00", ""},
		{"a hidden name", "os/.x", "abc", minio.PutObjectOptions{}, "refused", ""},
		{"a name that an address would quote", "os/a b", "abc", minio.PutObjectOptions{}, "refused", ""},
		{"an empty name", "os//x", "abc", minio.PutObjectOptions{}, "refused", ""},
		{"a file below a file", tarKey(v1) + "/x", "abc", minio.PutObjectOptions{}, "is a file, and", ""},
		{"a redirect elsewhere", "os/x", "", redirect("https://elsewhere.example/x"), "out of the bucket's tree", ""},
		{"a redirect out of the folder", "os/x", "", redirect("/../../etc/passwd"), "out of the bucket's tree", ""},
		{"a redirect to nothing", "os/x", "", redirect("/os/nothing"), "which is not there", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			b := s.bucket(t, "drop")
			if err := push(t.Context(), Pair{makeTree(t, oneRelease(v1)), b}, Request{}); err != nil {
				t.Fatal(err)
			}
			put(t, b, test.key, test.content, test.options)
			before := tree{"old": "x"}
			f := makeTree(t, before)
			err := pull(t.Context(), Pair{f, b}, Request{Replace: true})
			got := treeOf(t, f)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				if _, ok := got[test.key]; ok || got["old"] != "x" {
					t.Errorf("refused, and yet the folder holds %v", got)
				}
				return
			}
			want := oneRelease(v1)
			if test.as != "" {
				want[test.key] = test.as
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		})
	}
}

// A server may list what no client of ours could have sent.
func TestKeysThatLeadOutOfTheFolderAreRefused(t *testing.T) {
	for _, key := range []string{"../x", "os/../../x", "/etc/passwd", "os/..", ".", "..", "os\\x", "os/x\x00", "os/", strings.Repeat("x", 1025), ".deaddrop/upload", "ä"} {
		s := newServer(t)
		s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
			w.Header().Set("Content-Type", "application/xml")
			w.Write([]byte(`<ListBucketResult><Name>drop</Name><KeyCount>1</KeyCount><Contents><Key>` +
				strings.ReplaceAll(key, "\x00", "&#xFFFD;") + `</Key><Size>1</Size></Contents></ListBucketResult>`))
			return true
		})
		if l, err := s.bucket(t, "drop").List(t.Context()); err == nil {
			t.Errorf("%q: listed %v", key, l)
		}
	}
}

func TestAPullBrokenAtAnyRequestLeavesALatestThatIsComplete(t *testing.T) {
	broken := 0
	for i := 0; ; i++ {
		s := newServer(t)
		b := s.bucket(t, "drop")
		remote := oneRelease(v2).with(tree{"notes.txt": "two"})
		if err := push(t.Context(), Pair{makeTree(t, remote), b}, Request{}); err != nil {
			t.Fatal(err)
		}
		s.asked()
		var happened atomic.Bool
		s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
			if n >= i {
				happened.Store(true)
				hangUp(w)
			}
			return n >= i
		})
		f := makeTree(t, oneRelease(v1))
		err := pull(t.Context(), Pair{f, b}, Request{Replace: true})
		s.spoilWith(nil)
		if l, err := f.List(); err != nil || !l[latestKey].IsLink() {
			t.Errorf("broken at request %d: %v, %v", i, l, err)
		}
		if (err == nil) == happened.Load() {
			t.Errorf("request %d was lost: %v, but the pull says %v", i, happened.Load(), err)
		}
		if !happened.Load() {
			if got := treeOf(t, f); !reflect.DeepEqual(got, remote) {
				t.Errorf("the folder holds %v, want %v", got, remote)
			}
			break
		}
		broken++
	}
	if broken < 8 { // list, 4 looks, 3 gets
		t.Errorf("only %d requests were broken", broken)
	}
}
