// Package ocitest makes container images, as layouts, archives and in a
// registry of the test's own, for tests of what reads them.
package ocitest

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An Entry is a member of a layer's tar. A regular file's size is that of its
// content.
type Entry struct {
	tar.Header
	Content string
}

// File, Dir, Link and Hard are the usual entries; a name that ends with a
// slash is a folder.
func File(name string, mode int64, content string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode}, content}
}

// Dir is a folder.
func Dir(name string, mode int64) Entry {
	return Entry{Header: tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode}}
}

// Link is a symbolic link.
func Link(name, to string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777}}
}

// Hard is another name of a file.
func Hard(name, to string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}}
}

// Tar is a layer's tar.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.Content))
		check(t, w.WriteHeader(&e.Header))
		if e.Content != "" {
			_, err := io.WriteString(w, e.Content)
			check(t, err)
		}
	}
	check(t, w.Close())
	return b.Bytes()
}

// Image is an image of these layers for linux/arch. The layers are compressed
// with gzip and zstd in turn, and every third not at all.
func Image(t testing.TB, arch string, layers ...[]byte) v1.Image {
	t.Helper()
	i := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	for n, content := range layers {
		kind := []compression.Compression{compression.GZip, compression.ZStd, compression.None}[n%3]
		media := []types.MediaType{types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer}[n%3]
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
			tarball.WithCompression(kind), tarball.WithMediaType(media))
		check(t, err)
		i, err = mutate.Append(i, mutate.Addendum{Layer: l, MediaType: media})
		check(t, err)
	}
	c, err := i.ConfigFile()
	check(t, err)
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", arch
	i, err = mutate.ConfigFile(i, c)
	check(t, err)
	return i
}

// Index has images for several machines, by platform (linux/arm64).
func Index(t testing.TB, images map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	var x v1.ImageIndex = empty.Index
	for platform, i := range images {
		p, err := v1.ParsePlatform(platform)
		check(t, err)
		x = mutate.AppendManifests(x, mutate.IndexAddendum{Add: i, Descriptor: v1.Descriptor{Platform: p}})
	}
	return x
}

// Layout writes a layout's folder with images by name.
func Layout(t testing.TB, dir string, images map[string]v1.Image) string {
	t.Helper()
	p, err := layout.Write(dir, empty.Index)
	check(t, err)
	for name, i := range images {
		check(t, p.AppendImage(i, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name})))
	}
	return dir
}

// Archive packs a folder into a tar, as skopeo writes oci-archives.
func Archive(t testing.TB, dir, file string) string {
	t.Helper()
	f, err := os.Create(file)
	check(t, err)
	w := tar.NewWriter(f)
	check(t, w.AddFS(os.DirFS(dir)))
	check(t, w.Close())
	check(t, f.Close())
	return file
}

// DockerArchive writes what `docker save` wrote before it wrote layouts.
func DockerArchive(t testing.TB, file, tag string, i v1.Image) string {
	t.Helper()
	ref, err := name.NewTag(tag)
	check(t, err)
	check(t, tarball.WriteToFile(file, ref, i))
	return file
}

// Registry starts a registry, and gives its address and how often it was
// asked for a blob or manifest.
func Registry(t testing.TB) (address string, asked func() int) {
	t.Helper()
	var lines counter
	s := httptest.NewServer(registry.New(registry.Logger(log.New(&lines, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), func() int { return int(lines) }
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("GET")) {
		*c++
	}
	return len(p), nil
}

// Push sends an image or index to a registry.
func Push(t testing.TB, ref string, what remote.Taggable) {
	t.Helper()
	r, err := name.ParseReference(ref)
	check(t, err)
	switch what := what.(type) {
	case v1.Image:
		check(t, remote.Write(r, what))
	case v1.ImageIndex:
		check(t, remote.WriteIndex(r, what))
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
