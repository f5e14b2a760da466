package deaddrop

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"psyopsOS/step"
)

func TestWhatIsPushedHasItsHeadersAndIsNotSentAgain(t *testing.T) {
	s := newServer(t)
	local := oneRelease(v1).with(tree{"site.json": "{}"})
	p := Pair{makeTree(t, local), s.bucket(t, "s3://drop/sub")}
	var mu sync.Mutex
	cache := map[string]string{} // the server in memory does not keep it
	s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
		mu.Lock()
		defer mu.Unlock()
		cache[r.URL.Path] = r.Header.Get("Cache-Control")
		return false
	})
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}
	s.spoilWith(nil)
	if got := bucketTree(t, p.Bucket); !reflect.DeepEqual(got, local) {
		t.Errorf("the bucket holds %v, want %v", got, local)
	}
	type headers struct{ kind, cache, to, sha string }
	for key, want := range map[string]headers{
		tarKey(v1):              {"application/x-tar", "public, max-age=31536000, immutable", "", "8af98c22"},
		tarKey(v1) + ".minisig": {"text/plain; charset=utf-8", "no-cache", "", "e6a2c7ee"},
		latestKey:               {"text/plain; charset=utf-8", "no-cache", "/sub/" + tarKey(v1) + ".minisig", ""},
		"site.json":             {"application/json", "no-cache", "", "44136fa3"},
	} {
		answer, err := http.Get(s.URL + "/drop/sub/" + key)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		h := answer.Header
		sha := h.Get("X-Amz-Meta-Sha256")
		got := headers{h.Get("Content-Type"), cache["/drop/sub/"+key], h.Get("X-Amz-Website-Redirect-Location"), sha[:min(8, len(sha))]}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", key, got, want)
		}
	}
	s.asked()
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}
	if sent := s.asked("PUT", "POST", "DELETE"); len(sent) != 0 {
		t.Errorf("nothing changed, but it sent %q", sent)
	}
	write(t, p.Folder, "site.json", "[]")
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}
	if sent := s.asked("PUT", "POST", "DELETE"); len(sent) != 1 || !strings.Contains(sent[0], "site.json") {
		t.Errorf("one file changed, of the same size, and it sent %q", sent)
	}
}

func write(t testing.TB, f *Folder, key, content string) {
	t.Helper()
	name := filepath.Join(f.dir, key)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTarsAreSentBeforeSignaturesAndThoseBeforeLatestAndDeletesComeLast(t *testing.T) {
	s := newServer(t)
	bucket := s.bucket(t, "drop")
	if err := push(t.Context(), Pair{makeTree(t, oneRelease(v1).with(tree{"a.txt": "a"})), bucket}, Request{}); err != nil {
		t.Fatal(err)
	}
	s.asked()
	if err := push(t.Context(), Pair{makeTree(t, oneRelease(v2).with(tree{"zz.txt": "z"})), bucket}, Request{Replace: true}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.asked("PUT", "DELETE") {
		method, key, _ := strings.Cut(r, " ")
		key, _, _ = strings.Cut(key, "?")
		got = append(got, method+strings.Replace(key, "/drop/", " ", 1))
	}
	// Those of one rank are in any order.
	slices.Sort(got[:2])
	slices.Sort(got[5:])
	want := []string{"PUT " + tarKey(v2), "PUT zz.txt", "PUT " + tarKey(v2) + ".minisig", "PUT " + latestKey,
		"DELETE " + tarKey(v1) + ".minisig", "DELETE a.txt", "DELETE " + tarKey(v1)}
	slices.Sort(want[5:])
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A way in which a request is lost.
var losses = map[string]func(w http.ResponseWriter, r *http.Request, real http.Handler){
	"the request does not arrive": func(w http.ResponseWriter, r *http.Request, _ http.Handler) { hangUp(w) },
	"the answer does not come back": func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		real.ServeHTTP(httptest.NewRecorder(), r)
		hangUp(w)
	},
	"the server says that it is too busy": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusServiceUnavailable)
	},
}

// complete fails where latest is there and what it needs is not.
func complete(t *testing.T, b *Bucket) {
	t.Helper()
	l, err := b.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := checkLinks(l); err != nil {
		t.Error(err)
	}
	if _, ok := l[latestKey]; !ok {
		t.Error("there is no latest any more")
	}
}

func TestAPushBrokenAtAnyRequestLeavesALatestThatIsComplete(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			broken := 0
			for i := 0; ; i++ {
				s := newServer(t)
				bucket := s.bucket(t, "drop")
				if err := push(t.Context(), Pair{makeTree(t, oneRelease(v1)), bucket}, Request{}); err != nil {
					t.Fatal(err)
				}
				s.asked()
				var happened atomic.Bool
				s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
					if n < i {
						return false
					}
					happened.Store(true)
					if n == i {
						lose(w, r, real)
					} else {
						hangUp(w) // and the network stays away
					}
					return true
				})
				local := oneRelease(v2).with(tree{"notes.txt": "two"})
				p := Pair{makeTree(t, local), bucket}
				err := push(t.Context(), p, Request{Replace: true})
				s.spoilWith(nil)
				complete(t, bucket)
				if !happened.Load() {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				broken++
				if err == nil {
					t.Errorf("request %d was lost, and the push did not notice", i)
				}
				if err := push(t.Context(), p, Request{Replace: true}); err != nil {
					t.Fatalf("the push after the one broken at request %d: %v", i, err)
				}
				if got := bucketTree(t, bucket); !reflect.DeepEqual(got, local) {
					t.Errorf("broken at %d, pushed again: the bucket holds %v", i, got)
				}
			}
			if broken < 9 { // list, 2 looks, 4 puts, list and look, 2 deletes
				t.Errorf("only %d requests were broken", broken)
			}
		})
	}
}

func TestALargeFileGoesOnWhereItsUploadWasBrokenOff(t *testing.T) {
	s := newServer(t)
	content := make([]byte, 2*partSize+1000)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	p := Pair{makeTree(t, oneRelease(v1)), s.bucket(t, "drop")}
	write(t, p.Folder, tarKey(v1), string(content))
	var arrived sync.WaitGroup
	arrived.Add(2)
	s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
		switch r.URL.Query().Get("partNumber") {
		case "":
			return false
		case "3":
			arrived.Wait()
			hangUp(w)
		default:
			defer arrived.Done()
			real.ServeHTTP(w, r)
		}
		return true
	})
	err := push(t.Context(), p, Request{})
	if err == nil || !strings.Contains(err.Error(), "part 3") {
		t.Fatalf("got %v", err)
	}
	s.spoilWith(nil)
	s.asked()
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, r := range s.asked("PUT") {
		if strings.Contains(r, "partNumber=") {
			parts = append(parts, r)
		}
	}
	if len(parts) != 1 || !strings.Contains(parts[0], "partNumber=3") {
		t.Errorf("it sent %q, want the third part alone", parts)
	}
	r, err := p.Bucket.Get(t.Context(), tarKey(v1))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, %v, want the %d sent", len(got), err, len(content))
	}
	for key := range treeOf(t, p.Folder) {
		if strings.HasPrefix(key, notesFolder) {
			t.Errorf("the note %s has stayed", key)
		}
	}
	if err := push(t.Context(), p, Request{}); err != nil || len(s.asked("PUT", "POST")) != 0 {
		t.Errorf("pushing again: %v", err)
	}
}

func TestMemoryIsBoundedHoweverManyRequestsAreAskedFor(t *testing.T) {
	s := newServer(t)
	b := s.bucket(t, "drop")
	b.parallel = 3 * partsAtOnce
	all := tree{}
	for i := range b.parallel {
		all[fmt.Sprintf("%d.bin", i)] = strings.Repeat("x", smallFile+1)
	}
	var mu sync.Mutex
	now, most := 0, 0
	s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
		if r.Method != "PUT" {
			return false
		}
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		real.ServeHTTP(w, r)
		mu.Lock()
		now--
		mu.Unlock()
		return true
	})
	if err := push(t.Context(), Pair{makeTree(t, all), b}, Request{}); err != nil {
		t.Fatal(err)
	}
	if most > partsAtOnce || most < 2 {
		t.Errorf("%d files of more than %d bytes were on their way at once, want 2 to %d", most, smallFile, partsAtOnce)
	}
}

func TestAnUploadThatTheServerForgotBeginsAnew(t *testing.T) {
	s := newServer(t)
	p := Pair{makeTree(t, tree{"big.bin": strings.Repeat("x", partSize+1)}), s.bucket(t, "drop")}
	l, err := p.Folder.List()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Folder.Hash(t.Context(), l, silent, func(Entry) bool { return true }, func(Entry) bool { return true }); err != nil {
		t.Fatal(err)
	}
	write(t, p.Folder, p.Bucket.noteOf(l["big.bin"], partSize), "999\n")
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Bucket.Stat(t.Context(), "big.bin"); err != nil || got.Size != l["big.bin"].Size || got.SHA256 != l["big.bin"].SHA256 {
		t.Errorf("got %+v, %v, want %+v", got, err, l["big.bin"])
	}
}

func TestALargeFileThatDiffersFromItsTwinIsSent(t *testing.T) {
	s := newServer(t)
	p := Pair{makeTree(t, tree{"big.bin": strings.Repeat("x", partSize+1)}), s.bucket(t, "drop")}
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}
	changed := strings.Repeat("y", partSize+1)
	write(t, p.Folder, "big.bin", changed)
	if err := push(t.Context(), p, Request{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got := bucketTree(t, p.Bucket)["big.bin"]; got != changed {
		t.Errorf("the bucket has %d bytes that begin with %.1q", len(got), got)
	}
}

func TestWhatChangesWhileItIsSentDoesNotBecomeAnObject(t *testing.T) {
	for name, size := range map[string]int{"in one piece": 1000, "in parts": partSize + 1000} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			p := Pair{makeTree(t, oneRelease(v1)), s.bucket(t, "drop")}
			write(t, p.Folder, tarKey(v1), strings.Repeat("x", size))
			_, plan := planned(t, p, Request{})
			write(t, p.Folder, tarKey(v1), strings.Repeat("y", size))
			if err := run(t.Context(), p.Push(plan)); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
				t.Errorf("got %v", err)
			}
			if got := bucketTree(t, p.Bucket); len(got) != 0 {
				t.Errorf("the bucket holds %d objects", len(got))
			}
		})
	}
}

func TestWhatLatestNamesByNowIsNotRemoved(t *testing.T) {
	s := newServer(t)
	bucket := s.bucket(t, "drop")
	both := oneRelease(v1).with(oneRelease(v2))
	if err := push(t.Context(), Pair{makeTree(t, both), bucket}, Request{}); err != nil {
		t.Fatal(err)
	}
	p := Pair{makeTree(t, oneRelease(v2)), bucket}
	_, plan := planned(t, p, Request{Replace: true})
	// Another builder goes back to the first release.
	if err := bucket.Put(t.Context(), Entry{Key: latestKey, Link: tarKey(v1) + ".minisig"}, nil); err != nil {
		t.Fatal(err)
	}
	var rec step.Recorder
	if err := step.Run(t.Context(), rec.Record, func() time.Duration { return 0 }, p.Push(plan)...); err != nil {
		t.Fatal(err)
	}
	complete(t, bucket)
	if !strings.Contains(fmt.Sprint(rec.Events), "stays: "+latestKey+" names it now") {
		t.Errorf("told %v", rec.Events)
	}
}

func TestALatestThatMovedFurtherMeanwhileStays(t *testing.T) {
	s := newServer(t)
	bucket := s.bucket(t, "drop")
	p := Pair{makeTree(t, oneRelease(v2)), bucket}
	_, plan := planned(t, p, Request{})
	// Another builder is through with the third release first.
	if err := push(t.Context(), Pair{makeTree(t, oneRelease(v3)), bucket}, Request{}); err != nil {
		t.Fatal(err)
	}
	var rec step.Recorder
	if err := step.Run(t.Context(), rec.Record, func() time.Duration { return 0 }, p.Push(plan)...); err != nil {
		t.Fatal(err)
	}
	want := oneRelease(v2).with(oneRelease(v3))
	if got := bucketTree(t, bucket); !reflect.DeepEqual(got, want) {
		t.Errorf("the bucket holds %v, want %v", got, want)
	}
	if !strings.Contains(fmt.Sprint(rec.Events), "stays: it leads to "+tarKey(v3)) {
		t.Errorf("told %v", rec.Events)
	}
	// And a push that begins now knows it before.
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}
	if got := bucketTree(t, bucket); !reflect.DeepEqual(got, want) {
		t.Errorf("pushed again: the bucket holds %v, want %v", got, want)
	}
}

func TestTheFirstFailureEndsAPush(t *testing.T) {
	s := newServer(t)
	p := Pair{makeTree(t, tree{"a.txt": "a", "b.txt": "b", "c.txt": "c"}), s.bucket(t, "drop")}
	ctx, cancel := context.WithCancel(t.Context())
	s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
		if r.Method == "PUT" {
			cancel()
		}
		return false
	})
	if err := push(ctx, p, Request{}); err == nil {
		t.Error("a push that was cancelled succeeded")
	}
}

func TestTheServersRefusalsComeWithAHint(t *testing.T) {
	s := newServer(t)
	p := Pair{makeTree(t, oneRelease(v1)), s.bucket(t, "nosuch")}
	if err := push(t.Context(), p, Request{}); err == nil || !strings.Contains(step.HintOf(err), "make the bucket") {
		t.Errorf("got %v, hint %q", err, step.HintOf(err))
	}
	p.Bucket = s.bucket(t, "drop")
	s.spoilWith(func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	if err := push(t.Context(), p, Request{}); err == nil || !strings.Contains(step.HintOf(err), "AWS_ACCESS_KEY_ID") {
		t.Errorf("got %v, hint %q", err, step.HintOf(err))
	}
	s.Close()
	if err := push(t.Context(), p, Request{}); err == nil || !strings.Contains(step.HintOf(err), "endpoint") || !strings.Contains(err.Error(), path.Base(s.URL)) {
		t.Errorf("got %v, hint %q", err, step.HintOf(err))
	}
}
