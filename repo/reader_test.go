package repo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// size is larger than what the kernel's buffers of one connection take.
const size = 8 << 20

// hangUp answers with the first n bytes of what follows from the offset asked
// for, and then breaks the connection.
func (s *server) hangUp(w http.ResponseWriter, r *http.Request, content []byte, n int) {
	from := 0
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
		w.Header().Set("Content-Range", contentRange{int64(from), int64(len(content) - 1), int64(len(content))}.String())
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}
	w.Write(content[from:min(len(content), from+n)])
	if from+n < len(content) {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestABrokenConnectionIsTakenUpWhereItBroke(t *testing.T) {
	public, secret := newKey(t)
	m := makeRelease(t, secret, v1, size)
	s := serve(t, m)
	s.spoil = func(w http.ResponseWriter, r *http.Request, name string, count int) bool {
		if name != m.info.Filename {
			return false
		}
		s.hangUp(w, r, m.tar, 3<<20)
		return true
	}
	found := latest(t, open(t, s.address()), keysOf(t, 1, public))
	before := s.settled()
	got, err := readAll(found.Open(t.Context()))
	if err != nil || !bytes.Equal(got, m.tar) {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(m.tar))
	}
	if sent := s.settled() - before; sent != int64(len(m.tar)) {
		t.Errorf("the server sent %d bytes for %d: good bytes were fetched again", sent, len(m.tar))
	}
	if n := len(s.asked()); n != 2+3 {
		t.Errorf("%d requests: %q", n, s.asked())
	}
}

func TestTheFaultsOfAServer(t *testing.T) {
	public, secret := newKey(t)
	m := makeRelease(t, secret, v1, 100_000)
	garbage := bytes.Repeat([]byte("garbage "), len(m.tar)/8+1)[:len(m.tar)]
	for _, test := range []struct {
		name    string
		spoil   func(s *server, w http.ResponseWriter, r *http.Request, count int)
		want    string // of the error; empty: it succeeds
		asked   int    // requests for the tar
		notRead bool   // the reader itself cannot know: the content is wrong
		idle    time.Duration
	}{
		{"500 twice, then all is well", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			if count < 2 {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			w.Write(m.tar)
		}, "", 3, false, 0},
		{"503 for ever", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "503 Service Unavailable (gave up after 8 attempts in a row)", 8, false, 0},
		{"403 is final", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			w.WriteHeader(http.StatusForbidden)
		}, "403 Forbidden", 1, false, 0},
		{"404 is final", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			w.WriteHeader(http.StatusNotFound)
		}, "404 Not Found", 1, false, 0},
		{"a length that is too large", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			w.Header().Set("Content-Length", "999999")
			w.Write(m.tar)
		}, "the server says that it has 999999 bytes", 1, false, 0},
		{"a length that is too small", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			w.Write(m.tar[:1000])
		}, "the server says that it has 1000 bytes", 1, false, 0},
		{"more bytes than it should have, without a length", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			_ = http.NewResponseController(w).Flush()
			w.Write(m.tar)
			w.Write([]byte("more"))
		}, "sends more than the", 1, false, 0},
		{"no length at all", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			_ = http.NewResponseController(w).Flush()
			w.Write(m.tar)
		}, "", 1, false, 0},
		{"it ends too early for ever", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			s.hangUp(w, r, m.tar, 0)
		}, "gave up after 8 attempts", 8, false, 0},
		{"it stalls once", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			if count > 0 {
				s.hangUp(w, r, m.tar, len(m.tar))
				return
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(m.tar)))
			w.Write(m.tar[:50_000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "", 2, false, time.Second},
		{"it never answers", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			<-r.Context().Done()
		}, "nothing for", 8, false, 200 * time.Millisecond},
		{"another range than asked for", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			if count == 0 {
				s.hangUp(w, r, m.tar, 50_000)
				return
			}
			w.Header().Set("Content-Range", contentRange{7, int64(len(m.tar)) - 1, int64(len(m.tar))}.String())
			w.WriteHeader(http.StatusPartialContent)
		}, "it answers with bytes 7-", 2, false, 0},
		{"a file that has another length now", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			content := m.tar
			if count > 0 {
				content = m.tar[:len(m.tar)-512]
			}
			s.hangUp(w, r, content, 50_000)
		}, "but it should have", 2, false, 0},
		{"a file that was changed", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			w.Header().Set("ETag", `"`+strconv.Itoa(count)+`"`)
			s.hangUp(w, r, m.tar, 50_000)
		}, "has changed on the server", 2, false, 0},
		{"a server that cannot begin in the middle", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			r.Header.Del("Range")
			s.hangUp(w, r, m.tar, 60_000*(count+1))
		}, "", 2, false, 0},
		{"garbage of the right length", func(s *server, w http.ResponseWriter, r *http.Request, count int) {
			w.Write(garbage)
		}, "contents are not what key", 1, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, m)
			s.spoil = func(w http.ResponseWriter, r *http.Request, name string, count int) bool {
				if name != m.info.Filename {
					return false
				}
				test.spoil(s, w, r, count)
				return true
			}
			var pauses []time.Duration
			o := hurried(&pauses)
			o.Idle = test.idle
			r, err := Open(s.address(), o)
			if err != nil {
				t.Fatal(err)
			}
			found := latest(t, r, keysOf(t, 1, public))
			file := filepath.Join(t.TempDir(), "out.tar")
			pauses = nil
			err = found.Download(t.Context(), file, nil)
			n := len(s.asked()) - 2
			if test.idle > 0 { // on a busy machine the client is gone before the server has read its question
				n = len(pauses) + 1
			}
			if n != test.asked {
				t.Errorf("the tar was asked for %d times, want %d", n, test.asked)
			}
			content, _ := os.ReadFile(file)
			if test.want == "" {
				if err != nil || !bytes.Equal(content, m.tar) {
					t.Errorf("got %d bytes, %v", len(content), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if content != nil {
				t.Error("a file that is not verified has its final name")
			}
			if _, err := os.Stat(found.Begun(file)); test.notRead == (err == nil) {
				t.Errorf("what was fetched: %v", err)
			}
		})
	}
}

func TestThePausesGrowUpToACap(t *testing.T) {
	public, secret := newKey(t)
	s := serve(t, makeRelease(t, secret, v1, 100))
	s.spoil = func(w http.ResponseWriter, r *http.Request, name string, count int) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	var pauses []time.Duration
	var told int
	o := hurried(&pauses)
	o.Retrying = func(error, time.Duration) { told++ }
	r, err := Open(s.address(), o)
	if err != nil {
		t.Fatal(err)
	}
	var gaveUp *GaveUpError
	if _, err := r.Latest(t.Context(), keysOf(t, 1, public), "psyopsOS", "x86_64"); !errors.As(err, &gaveUp) || gaveUp.Hint() == "" {
		t.Errorf("got %v", err)
	}
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i := range want {
		want[i] *= time.Second
	}
	if !reflect.DeepEqual(pauses, want) || told != len(want) {
		t.Errorf("waited %v and told %d times, want %v", pauses, told, want)
	}
}

func TestADownloadGoesOnWhereAKilledOneWas(t *testing.T) {
	public, secret := newKey(t)
	m := makeRelease(t, secret, v1, size)
	s := serve(t, m)
	found := latest(t, open(t, s.address()), keysOf(t, 1, public))
	file := filepath.Join(t.TempDir(), "out.tar")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("killed")
	if err := found.Download(ctx, file, func(done, total int64) {
		if done > size/2 {
			cancel(stop)
		}
	}); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	info, err := os.Stat(found.Begun(file))
	if err != nil {
		t.Fatal(err)
	}
	before := s.settled()
	if err := found.Download(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, m.tar) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if sent := s.settled() - before; sent != int64(len(m.tar))-info.Size() {
		t.Errorf("the server sent %d bytes, %d were missing", sent, int64(len(m.tar))-info.Size())
	}
	signature, err := os.ReadFile(file + ".minisig")
	if err != nil || !bytes.Equal(signature, m.signature) {
		t.Errorf("the signature beside it: %v", err)
	}
}

// What was fetched of one release is no beginning of another.
func TestADownloadAfterAnotherReleasesThatWasCutOff(t *testing.T) {
	public, secret := newKey(t)
	first, second := makeRelease(t, secret, v1, size), makeRelease(t, secret, v2, size)
	file := filepath.Join(t.TempDir(), "out.tar")
	older := latest(t, open(t, serve(t, first).address()), keysOf(t, 1, public))
	for _, begun := range []string{older.Begun(file), file + Unverified} {
		if err := os.WriteFile(begun, first.tar[:size/2], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	notes, folder := file+Unverified+"-notes", file+Unverified+"-0123456789abcdef"
	if err := errors.Join(os.WriteFile(notes, nil, 0o644), os.Mkdir(folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	found := latest(t, open(t, serve(t, second).address()), keysOf(t, 1, public))
	if err := found.Download(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, second.tar) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if left, err := filepath.Glob(file + Unverified + "*"); err != nil || !slices.Equal(left, []string{folder, notes}) {
		t.Errorf("%q is left behind, %v; want what is not ours, and nothing else", left, err)
	}
}

func TestSkippedBytesAreNotFetched(t *testing.T) {
	public, secret := newKey(t)
	m := makeRelease(t, secret, v1, size)
	s := serve(t, m)
	for name, address := range map[string]string{"over HTTP": s.address(), "in a folder": asFolder(t, m)} {
		r := latest(t, open(t, address), keysOf(t, 1, public)).Open(t.Context())
		head := make([]byte, 512)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatal(err)
		}
		if err := r.Skip(size - 1000); err != nil {
			t.Fatal(err)
		}
		rest, err := readAll(r)
		if err != nil || !bytes.Equal(head, m.tar[:512]) || !bytes.Equal(rest, m.tar[512+size-1000:]) {
			t.Errorf("%s: got %d bytes, %v", name, len(rest), err)
		}
		if err := r.Skip(1); err == nil {
			t.Errorf("%s: skipped beyond the end", name)
		}
	}
	if sent := s.settled(); sent > size {
		t.Errorf("the server sent %d bytes", sent)
	}
}

func TestContentRange(t *testing.T) {
	for text, want := range map[string]contentRange{
		"bytes 0-0/1":       {0, 0, 1},
		"bytes 100-199/200": {100, 199, 200},
		"bytes 5-9/*":       {5, 9, -1},
	} {
		if got, err := parseContentRange(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "bytes", "bytes */5", "bytes 0-5/5", "bytes 3-2/5", "bytes -1-2/5", "items 0-0/1", "bytes 0-0/1 ", "bytes 0-99999999999999999999/*"} {
		if got, err := parseContentRange(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, text := range []string{"bytes 0-0/1", "bytes 100-199/200", "bytes 5-9/*", "bytes */5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseContentRange(text)
		if err != nil {
			return
		}
		if r.First < 0 || r.Last < r.First || r.Total >= 0 && r.Last >= r.Total {
			t.Errorf("%q: got %+v", text, r)
		}
		if again, err := parseContentRange(r.String()); err != nil || again != r {
			t.Errorf("%q became %q", text, r)
		}
	})
}
