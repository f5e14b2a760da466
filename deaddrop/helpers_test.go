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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"psyopsOS/release"
	"psyopsOS/step"
)

const v1, v2, v3 = "20261121-101500", "20261121-111500", "20261121-121500"

func tarKey(version string) string { return "os/psyopsOS.x86_64." + version + ".tar" }

func billKey(version string) string { return "os/psyopsOS.x86_64." + version + ".cdx.json" }

const latestKey = "os/psyopsOS.x86_64.latest.tar.minisig"

// A server is an S3 server in memory, whose answers a test may spoil.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // "METHOD /bucket/key?query"
	// spoil may answer instead of request number n; done says that it has.
	spoil func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) (done bool)
}

func (s *server) spoilWith(spoil func(w http.ResponseWriter, r *http.Request, n int, real http.Handler) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = spoil
}

func newServer(t testing.TB) *server {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("drop"); err != nil {
		t.Fatal(err)
	}
	real := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := len(s.requests)
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		spoil := s.spoil
		s.mu.Unlock()
		if spoil == nil || !spoil(w, r, n, real) {
			real.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// asked are the requests since the last call whose method is one of these.
func (s *server) asked(methods ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var of []string
	for _, r := range s.requests {
		method, _, _ := strings.Cut(r, " ")
		for _, m := range methods {
			if m == method {
				of = append(of, r)
			}
		}
	}
	s.requests = nil
	return of
}

func (s *server) bucket(t testing.TB, name string) *Bucket {
	t.Helper()
	b, err := OpenBucket(Settings{Bucket: name, Endpoint: s.URL, Region: usualRegion, Parallel: 4, retries: 1,
		creds: credentials.NewStaticV4("key", "secret", "")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A tree is a folder's contents: what a value starting with "-> " leads to.
type tree map[string]string

// oneRelease is a release with latest.
func oneRelease(version string) tree {
	tar := tarKey(version)
	return tree{tar: "tar " + version, tar + ".minisig": "signature " + version, latestKey: "-> " + filepath.Base(tar) + ".minisig"}
}

func (a tree) with(more tree) tree {
	all := tree{}
	for _, t := range []tree{a, more} {
		for key, content := range t {
			all[key] = content
		}
	}
	return all
}

func makeTree(t testing.TB, contents tree) *Folder {
	t.Helper()
	dir := t.TempDir()
	for key, content := range contents {
		name := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, isLink := strings.CutPrefix(content, "-> "); isLink {
			err = os.Symlink(to, name)
		} else {
			err = os.WriteFile(name, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// treeOf reads a folder back, dot files too.
func treeOf(t testing.TB, f *Folder) tree {
	t.Helper()
	got := tree{}
	err := filepath.WalkDir(f.dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, _ := filepath.Rel(f.dir, name)
		if d.Type() == os.ModeSymlink {
			to, err := os.Readlink(name)
			got[key] = "-> " + to
			return err
		}
		content, err := os.ReadFile(name)
		got[key] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// bucketTree reads a bucket back, without its metadata.
func bucketTree(t testing.TB, b *Bucket) tree {
	t.Helper()
	l, err := b.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := tree{}
	for key, e := range l {
		if e.IsLink() {
			got[key] = "-> " + linkText(key, e.Link)
			continue
		}
		r, err := b.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		got[key] = string(content)
	}
	return got
}

func silent(int64, int64) {}

func run(ctx context.Context, steps []step.Step) error {
	return step.Run(ctx, func(step.Event) {}, func() time.Duration { return 0 }, steps...)
}

func push(ctx context.Context, p Pair, r Request) error {
	local, remote, err := p.Compare(ctx, true, silent)
	if err != nil {
		return err
	}
	plan, err := NewPlan(local, remote, r)
	if err != nil {
		return err
	}
	return run(ctx, p.Push(plan))
}

func pull(ctx context.Context, p Pair, r Request) error {
	local, remote, err := p.Compare(ctx, false, silent)
	if err != nil {
		return err
	}
	plan, err := NewPlan(remote, local, r)
	if err != nil {
		return err
	}
	return run(ctx, p.Pull(plan))
}

func newKeys(t testing.TB) (release.Keys, release.SecretKey) {
	t.Helper()
	public, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := release.NewKeys(1, public)
	if err != nil {
		t.Fatal(err)
	}
	return keys, secret
}

// signRelease writes a signed tar into a folder, and is its name.
func signRelease(t testing.TB, dir string, secret release.SecretKey, kind release.Kind, version string, content []byte) string {
	t.Helper()
	platform := "x86_64"
	if kind == release.ESP {
		platform = release.UEFI
	}
	info := release.Info{Kind: kind, Version: version, Filename: release.Name{Kind: kind, Platform: platform, Version: version}.String(), Size: int64(len(content))}
	if kind == release.OS {
		info.Kernel, info.Userland, info.Architecture = "6.1.0", "testos-1", platform
	}
	signature, err := release.Sign(secret, bytes.NewReader(content), info.Comment(), "test")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, info.Filename)
	for suffix, data := range map[string][]byte{"": content, ".minisig": signature} {
		if err := os.WriteFile(name+suffix, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// hangUp breaks the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(fmt.Sprint("hijack: ", err))
	}
	conn.Close()
}

// planned is what a push has to do, and the folder that it goes by.
func planned(t *testing.T, p Pair, r Request) (Listing, Plan) {
	t.Helper()
	local, remote, err := p.Compare(t.Context(), true, silent)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan(local, remote, r)
	if err != nil {
		t.Fatal(err)
	}
	return local, plan
}
