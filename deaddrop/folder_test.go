package deaddrop

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"psyopsOS/release"
)

func TestAFolderIsListedOrRefused(t *testing.T) {
	fifo := func(t *testing.T, dir string) {
		if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		in   tree
		also func(t *testing.T, dir string)
		want string // of the error; empty: it is listed
	}{
		{"a release with latest is listed", oneRelease(v1), nil, ""},
		{"files with a dot are nobody's", oneRelease(v1).with(tree{".git/x y": "z", "os/.x.part": "z", ".link": "-> /etc/passwd"}), nil, ""},
		{"an absolute link", tree{"a": "-> /etc/passwd"}, nil, "it is not relative"},
		{"a link out of the folder", tree{"os/a": "-> ../../etc/passwd"}, nil, "it leads out of the folder"},
		{"a link out of the folder by a detour", tree{"os/a": "-> x/../../../b"}, nil, "it leads out of the folder"},
		{"a link to nothing", tree{"a": "-> b"}, nil, "a leads to b, which is not there"},
		{"a link to a link", tree{"a": "-> b", "b": "-> c", "c": ""}, nil, "a leads to b, which is a link itself"},
		{"a link to a folder", tree{"a": "-> b", "b/c": ""}, nil, "a leads to b, which is not there"},
		{"a link to a dot file", tree{"a": "-> .b", ".b": ""}, nil, `key ".b" is refused`},
		{"latest whose tar is missing", tree{latestKey: "-> " + filepath.Base(tarKey(v1)) + ".minisig", tarKey(v1) + ".minisig": ""}, nil, "whose tar psyopsOS.x86_64." + v1 + ".tar is not there"},
		{"a name that an address would quote", tree{"a b": ""}, nil, `key "a b" is refused`},
		{"a pipe", tree{}, fifo, "pipe is neither a file nor a link"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := makeTree(t, test.in)
			if test.also != nil {
				test.also(t, f.dir)
			}
			l, err := f.List()
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, %v, want %q", l, err, test.want)
				}
				return
			}
			want := Listing{
				tarKey(v1):              {Key: tarKey(v1), Size: 19},
				tarKey(v1) + ".minisig": {Key: tarKey(v1) + ".minisig", Size: 25},
				latestKey:               {Key: latestKey, Link: tarKey(v1) + ".minisig"},
			}
			if err != nil || !reflect.DeepEqual(l, want) {
				t.Errorf("got %v, %v, want %v", l, err, want)
			}
		})
	}
}

func TestWhatIsWrittenHasItsNameOnlyWhenItIsWhole(t *testing.T) {
	const sum = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // of "a"
	for _, test := range []struct {
		name, content string
		e             Entry
		want          string
	}{
		{"the right content", "a", Entry{Key: "os/x", Size: 1, SHA256: sum}, ""},
		{"other content", "b", Entry{Key: "os/x", Size: 1, SHA256: sum}, "its SHA-256 is"},
		{"too little", "", Entry{Key: "os/x", Size: 1, SHA256: sum}, "0 bytes of 1"},
		{"too much", "aa", Entry{Key: "os/x", Size: 1, SHA256: sum}, "more than the 1 bytes"},
		{"a key that leads out", "a", Entry{Key: "../x", Size: 1}, "refused"},
		{"an absolute key", "a", Entry{Key: "/x", Size: 1}, "refused"},
		{"a key through a link", "a", Entry{Key: "out/x", Size: 1}, "out is no folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			outside := t.TempDir()
			before := tree{"os/x": "old", "out": "-> " + outside}
			f := makeTree(t, before)
			err := f.Write(test.e, strings.NewReader(test.content))
			want := before
			if test.want == "" {
				want = before.with(tree{"os/x": test.content})
			} else if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if got := treeOf(t, f); !reflect.DeepEqual(got, want) {
				t.Errorf("the folder holds %v, want %v", got, want)
			}
			if outside, err := os.ReadDir(outside); err != nil || len(outside) != 0 {
				t.Errorf("outside of the folder there is %v, %v", outside, err)
			}
		})
	}
}

func FuzzLinks(f *testing.F) {
	f.Add("os/latest", "x.minisig")
	f.Add("latest", "os/x")
	f.Add("a/b/c", "a/b")
	f.Add("a/b/c", "a/x/c")
	f.Add("os/a", "../../etc/passwd")
	f.Fuzz(func(t *testing.T, key, to string) {
		if checkKey(key) != nil {
			return
		}
		if got, err := resolve(key, to); err == nil && checkKey(got) != nil {
			t.Errorf("link %q to %q leads to the key %q", key, to, got)
		}
		if checkKey(to) != nil {
			return
		}
		if got, err := resolve(key, linkText(key, to)); err != nil || got != to {
			t.Errorf("link %q to %q has the text %q, which leads to %q, %v", key, to, linkText(key, to), got, err)
		}
	})
}

func TestServeAnswersAsAWebsiteEndpoint(t *testing.T) {
	f := makeTree(t, oneRelease(v1).with(tree{"out": "-> /etc", "also": "-> os", ".secret": "x", "os/.x.part": "x"}))
	server := httptest.NewServer(f)
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, test := range []struct {
		name, method, path, ranged string
		code                       int
		body                       string
		header                     map[string]string
	}{
		{"a tar", "GET", "/" + tarKey(v1), "", 200, "tar " + v1, map[string]string{"Content-Type": "application/x-tar", "Cache-Control": "public, max-age=31536000, immutable", "Content-Length": "19", "Accept-Ranges": "bytes"}},
		{"its end", "GET", "/" + tarKey(v1), "bytes=4-", 206, v1, map[string]string{"Content-Range": "bytes 4-18/19"}},
		{"beyond its end", "GET", "/" + tarKey(v1), "bytes=19-", 416, "", map[string]string{"Content-Range": "bytes */19"}},
		{"its head alone", "HEAD", "/" + tarKey(v1), "", 200, "", map[string]string{"Content-Length": "19"}},
		{"a signature", "GET", "/" + tarKey(v1) + ".minisig", "", 200, "signature " + v1, map[string]string{"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache"}},
		{"latest", "GET", "/" + latestKey, "", 301, "", map[string]string{"Location": "/" + tarKey(v1) + ".minisig", "Cache-Control": "no-cache"}},
		{"nothing", "GET", "/os/nothing", "", 404, "", nil},
		{"the folder", "GET", "/os/", "", 404, "", nil},
		{"the top", "GET", "/", "", 404, "", nil},
		{"a link out of the folder", "GET", "/out", "", 404, "", nil},
		{"a file through such a link", "GET", "/out/passwd", "", 404, "", nil},
		{"a file through a link in the folder", "GET", "/also/" + filepath.Base(tarKey(v1)), "", 404, "", nil},
		{"a dot file", "GET", "/.secret", "", 404, "", nil},
		{"a half-written file", "GET", "/os/.x.part", "", 404, "", nil},
		{"a way up", "GET", "/os/%2e%2e/%2e%2e/etc/passwd", "", 404, "", nil},
		{"writing", "PUT", "/os/x", "", 405, "", map[string]string{"Allow": "GET, HEAD"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), test.method, server.URL+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.ranged != "" {
				request.Header.Set("Range", test.ranged)
			}
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != test.code || test.code/100 == 2 && string(body) != test.body {
				t.Errorf("got %d %q, %v, want %d %q", answer.StatusCode, body, err, test.code, test.body)
			}
			for name, want := range test.header {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestPublishVerifiesAndMovesLatestForwardOnly(t *testing.T) {
	keys, secret := newKeys(t)
	built := t.TempDir()
	f := makeTree(t, nil)
	publish := func(kind release.Kind, version string) Published {
		t.Helper()
		tar := signRelease(t, built, secret, kind, version, []byte("contents "+version))
		bill := strings.TrimSuffix(tar, ".tar") + ".cdx.json"
		if err := os.WriteFile(bill, []byte("bill "+version), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := f.Publish(t.Context(), keys, tar, silent, bill)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if got, want := publish(release.OS, v2), (Published{tarKey(v2), latestKey, true, []string{billKey(v2)}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := publish(release.OS, v1); got.Moved {
		t.Error("latest went back to an older release")
	}
	if got := publish(release.OS, v3); !got.Moved {
		t.Error("latest did not move to a newer release")
	}
	if got := publish(release.ESP, v1).Latest; got != "os/psyopsESP.x86_64-uefi.latest.tar.minisig" {
		t.Errorf("the ESP's latest is %s", got)
	}
	before := treeOf(t, f)
	if before[tarKey(v1)] != "contents "+v1 || before[latestKey] != "-> "+filepath.Base(tarKey(v3))+".minisig" || before[billKey(v1)] != "bill "+v1 || len(before) != 14 {
		t.Errorf("the folder holds %v", before)
	}
	if _, err := f.List(); err != nil {
		t.Error(err)
	}

	const v4 = "20261121-131500"
	name := signRelease(t, built, secret, release.OS, v4, []byte("contents"))
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(content, []byte("c"), []byte("C"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Publish(t.Context(), keys, name, silent); err == nil {
		t.Error("a tar that nobody signed was published")
	}
	foreign, _ := newKeys(t)
	if _, err := f.Publish(t.Context(), keys, filepath.Join(built, path.Base(tarKey(v3))), silent, filepath.Join(built, path.Base(billKey(v2)))); err == nil {
		t.Error("another release's bill of materials was published beside a tar")
	}
	if _, err := f.Publish(t.Context(), foreign, signRelease(t, built, secret, release.OS, v4, content), silent); err == nil {
		t.Error("a tar that a foreign key signed was published")
	}
	if got := treeOf(t, f); !reflect.DeepEqual(got, before) {
		t.Errorf("a refused release has left %v, want %v", got, before)
	}
}
