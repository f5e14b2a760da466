package repo

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"psyopsOS/release"
)

// made is a signed release, as it lies in a repository.
type made struct {
	info      release.Info
	tar       []byte
	signature []byte
}

func newKey(t testing.TB) (release.PublicKey, release.SecretKey) {
	t.Helper()
	public, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, secret
}

func keysOf(t testing.TB, threshold int, keys ...release.PublicKey) release.Keys {
	t.Helper()
	k, err := release.NewKeys(threshold, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// makeRelease signs a tar of some size that compresses to nothing else.
func makeRelease(t testing.TB, secret release.SecretKey, version string, size int) made {
	t.Helper()
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "squashfs", Size: int64(size), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	w.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m := made{tar: b.Bytes(), info: release.Info{Kind: release.OS, Version: version, Kernel: "6.1.0", Userland: "testos-1", Architecture: "x86_64",
		Filename: release.Name{Kind: release.OS, Platform: "x86_64", Version: version}.String(), Size: int64(b.Len())}}
	m.signature = sign(t, secret, m.tar, m.info)
	return m
}

func sign(t testing.TB, secret release.SecretKey, tar []byte, info release.Info) []byte {
	t.Helper()
	signature, err := release.Sign(secret, bytes.NewReader(tar), info.Comment(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// A server is a repository whose answers a test may spoil.
type server struct {
	*httptest.Server
	mu        sync.Mutex
	files     map[string][]byte
	requests  []string // "NAME Range"
	sent      int64    // bytes of bodies
	answering int      // requests
	// spoil may answer instead; count is how often the name was asked for
	// before. It says whether it has answered.
	spoil func(w http.ResponseWriter, r *http.Request, name string, count int) bool
}

func serve(t testing.TB, releases ...made) *server {
	t.Helper()
	s := &server{files: map[string][]byte{}}
	for _, m := range releases {
		s.publish(m)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *server) publish(m made) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[m.info.Filename] = m.tar
	s.files[m.info.Filename+".minisig"] = m.signature
	s.files["latest"] = []byte(m.info.Filename + ".minisig")
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/os/")
	s.mu.Lock()
	count := 0
	for _, earlier := range s.requests {
		if strings.HasPrefix(earlier, name+" ") {
			count++
		}
	}
	s.requests = append(s.requests, name+" "+r.Header.Get("Range"))
	s.answering++
	defer func() {
		s.mu.Lock()
		s.answering--
		s.mu.Unlock()
	}()
	content, ok := s.files[name]
	latest := string(s.files["latest"])
	s.mu.Unlock()
	w = counting{w, s}
	switch {
	case s.spoil != nil && s.spoil(w, r, name, count):
	case strings.Contains(name, ".latest."):
		http.Redirect(w, r, "/os/"+latest, http.StatusMovedPermanently)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, len(content)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

func (s *server) address() string { return s.URL + "/os" }

func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// settled is how many bytes were sent, once no answer is under way: what a client has may not be
// counted yet, and that it is gone may not be noticed.
func (s *server) settled() int64 {
	for {
		s.mu.Lock()
		sent, answering := s.sent, s.answering
		s.mu.Unlock()
		if answering == 0 {
			return sent
		}
		time.Sleep(time.Millisecond)
	}
}

type counting struct {
	http.ResponseWriter
	s *server
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.s.mu.Lock()
	c.s.sent += int64(n)
	c.s.mu.Unlock()
	return n, err
}

// Unwrap lets http.ResponseController find the real one.
func (c counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// hurried are options of a client that does not pause, and remembers how long
// it would have waited.
func hurried(pauses *[]time.Duration) Options {
	return Options{Sleep: func(ctx context.Context, d time.Duration) error {
		if pauses != nil {
			*pauses = append(*pauses, d)
		}
		return ctx.Err()
	}}
}

func open(t testing.TB, address string) Repository {
	t.Helper()
	r, err := Open(address, hurried(nil))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asFolder is the repository as a folder with a link for latest.
func asFolder(t testing.TB, m made) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]byte{m.info.Filename: m.tar, m.info.Filename + ".minisig": m.signature} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(m.info.Filename+".minisig", filepath.Join(dir, release.LatestSignature(release.OS, "x86_64"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func latest(t testing.TB, r Repository, keys release.Keys) Release {
	t.Helper()
	found, err := r.Latest(t.Context(), keys, release.OS, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func readAll(r *Reader) ([]byte, error) {
	defer r.Close()
	return io.ReadAll(r)
}
