package oci_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"psyopsOS/image/oci"
	. "psyopsOS/image/oci/ocitest"
)

// blobs lists a layout's blobs.
func blobs(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no blobs in %s: %v", dir, err)
	}
	return names
}

// Whatever byte of an image is changed, and wherever it is cut: it is refused.
func TestADamagedImageIsRefused(t *testing.T) {
	dir := layout(t, base(t), Tar(t, File("two", 0o644, "2")), Tar(t, File("three", 0o644, "3")))
	names := blobs(t, dir)
	if len(names) != 5 {
		t.Fatalf("%d blobs and not a manifest, a configuration and three layers", len(names))
	}
	for _, name := range names {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, content := range map[string][]byte{
			"a byte at the start": flip(whole, 0), "a byte in the middle": flip(whole, len(whole)/2), "the last byte": flip(whole, len(whole)-1),
			"half of it": whole[:len(whole)/2], "more behind it": append(slices.Clone(whole), 0), "nothing": nil,
		} {
			if err := os.WriteFile(name, content, 0o644); err != nil {
				t.Fatal(err)
			}
			if x, err := treeOf(t, dir, oci.Options{}); err == nil {
				t.Errorf("%s of %s was taken: %d files", what, filepath.Base(name), x.Len())
			}
		}
		if err := os.WriteFile(name, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := treeOf(t, dir, oci.Options{}); err != nil {
		t.Errorf("the whole image: %v", err)
	}
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 0x20
	return b
}

func TestALayerThatWasExchangedInADockerArchiveIsRefused(t *testing.T) {
	file := DockerArchive(t, filepath.Join(t.TempDir(), "docker.tar"), "os/test:1", Image(t, "amd64", Tar(t, File("a", 0o644, "honest"))))
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := treeOf(t, file, oci.Options{}); err != nil {
		t.Fatal(err)
	}
	// The layer is the first gzip stream in the tar; its last byte is of the
	// content's length.
	at := bytes.Index(content, []byte("\x1f\x8b"))
	if err := os.WriteFile(file, flip(content, at+30), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := treeOf(t, file, oci.Options{}); err == nil {
		t.Error("it was taken")
	}
}

func TestABlobThatIsALinkOutOfTheLayoutIsRefused(t *testing.T) {
	dir := layout(t, base(t))
	name := blobs(t, dir)[0]
	outside := filepath.Join(t.TempDir(), "blob")
	if err := os.Rename(name, outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, name); err != nil {
		t.Fatal(err)
	}
	if _, err := treeOf(t, dir, oci.Options{}); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("got %v", err)
	}
}

func TestAnImageIsBounded(t *testing.T) {
	zeros := Tar(t, File("big", 0o644, strings.Repeat("\x00", 8<<20))) // a few KiB when compressed
	dir := layout(t, zeros, Tar(t), zeros)
	if _, err := treeOf(t, dir, oci.Options{MaxSize: 20 << 20}); err != nil {
		t.Errorf("an image of 16 MiB: %v", err)
	}
	_, err := treeOf(t, dir, oci.Options{MaxSize: 12 << 20})
	if err == nil || !strings.Contains(err.Error(), "layer 3 of 3: ") || !strings.Contains(err.Error(), "taken at most") {
		t.Errorf("got %v", err)
	}
}

// An image by digest needs the registry once; one by tag is asked for each
// time, and fetched once.
func TestWhatARegistrySentIsKept(t *testing.T) {
	address, asked := Registry(t)
	i := Image(t, "amd64", base(t), Tar(t, File("two", 0o644, "2")))
	Push(t, address+"/os/test:1", i)
	o := oci.Options{Cache: t.TempDir()}
	first, err := oci.Open(t.Context(), address+"/os/test:1", o)
	if err != nil {
		t.Fatal(err)
	}
	var last, total int64
	if err := first.Fetch(t.Context(), func(done, of int64) { last, total = done, of }); err != nil {
		t.Fatal(err)
	}
	if last == 0 || last != total {
		t.Errorf("%d of %d bytes were told", last, total)
	}
	before := asked()
	if _, err := treeOf(t, first.Pinned, o); err != nil {
		t.Fatal(err)
	}
	if n := asked() - before; n != 0 {
		t.Errorf("by digest the registry was asked %d times", n)
	}
	if _, err := treeOf(t, address+"/os/test:1", o); err != nil {
		t.Fatal(err)
	}
	if n := asked() - before; n > 2 {
		t.Errorf("by tag the registry was asked %d times", n)
	}
	// Another image under the same tag.
	Push(t, address+"/os/test:1", Image(t, "amd64", Tar(t, File("another", 0o644, "a"))))
	if x, err := treeOf(t, address+"/os/test:1", o); err != nil || !x.Has("another") {
		t.Errorf("the tag's new image was not taken: %v", err)
	}
	if x, err := treeOf(t, first.Pinned, o); err != nil || !x.Has("two") {
		t.Errorf("by digest it is another image now: %v", err)
	}
	// What a disk does to a cache is found, and half a file is fetched again.
	for n, change := range []func(b []byte) []byte{func(b []byte) []byte { return b[:len(b)/2] }, func(b []byte) []byte { return flip(b, len(b)/2) }} {
		for _, name := range blobs(t, o.Cache) {
			whole, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, change(whole), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := treeOf(t, first.Pinned, o); err != nil && n == 0 && !strings.Contains(err.Error(), "damaged") {
				t.Errorf("a cut file: %v", err)
			}
			if err := os.WriteFile(name, whole, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A registry, or somebody before it, that sends something else.
func TestALyingRegistryIsRefused(t *testing.T) {
	address, _ := Registry(t)
	Push(t, address+"/os/test:1", Image(t, "amd64", base(t)))
	digest, err := Image(t, "amd64", base(t)).Digest()
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"/blobs/", "/manifests/"} {
		t.Run(part, func(t *testing.T) {
			proxy := httputil.NewSingleHostReverseProxy(to)
			proxy.ModifyResponse = func(r *http.Response) error {
				if strings.Contains(r.Request.URL.Path, part) && r.StatusCode == http.StatusOK && r.Request.Method == http.MethodGet {
					r.Body = http.MaxBytesReader(nil, swapped{r.Body}, 1<<30)
				}
				return nil
			}
			s := httptest.NewServer(proxy)
			defer s.Close()
			cache := t.TempDir()
			ref := strings.TrimPrefix(s.URL, "http://") + "/os/test@" + digest.String()
			if x, err := treeOf(t, ref, oci.Options{Cache: cache}); err == nil {
				t.Errorf("it was taken: %d files", x.Len())
			}
			err := filepath.WalkDir(cache, func(name string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() && part == "/manifests/" {
					t.Errorf("%s is in the cache", name)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// swapped changes one bit of each piece that it reads.
type swapped struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
}

func (s swapped) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if n > 0 {
		p[n/2] ^= 1
	}
	return n, err
}

func (s swapped) Close() error { return s.body.Close() }

func TestAnImageForPodmanOrDockerNeedsNoName(t *testing.T) {
	dir := Layout(t, t.TempDir(), map[string]v1.Image{"": Image(t, "amd64", base(t))})
	if _, err := treeOf(t, dir, oci.Options{}); err != nil {
		t.Error(err)
	}
}
