package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"psyopsOS/image/tree"
)

// FuzzLayer: whatever a layer says, all of it stays inside the tree, each node
// lies in a folder, and no whiteout is left.
func FuzzLayer(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{{Name: "etc/.wh.motd"}, {Name: "etc/.wh..wh..opq"}, {Name: "lib/x", Typeflag: tar.TypeReg}},
		{{Name: "etc", Typeflag: tar.TypeSymlink, Linkname: "../.."}, {Name: "etc/x", Typeflag: tar.TypeReg}, {Name: "y", Typeflag: tar.TypeLink, Linkname: "etc/x"}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := readChanges(bytes.NewReader(content), nil)
		if err != nil {
			return
		}
		x := below(t)
		if err := c.apply(x); err != nil {
			return
		}
		for name := range x.All() {
			if tree.CheckName(name) != nil {
				t.Errorf("%q is in the tree", name)
			}
			if dir, ok := x.Get(pathDir(name)); !ok || !dir.Mode.IsDir() {
				t.Errorf("%q does not lie in a folder", name)
			}
		}
	})
}

func pathDir(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[:i]
		}
	}
	return "."
}

func below(t *testing.T) *tree.Tree {
	x := tree.New()
	for _, err := range []error{x.AddFile("etc/motd", 0o644, "m"), x.Add("lib", tree.Symlink("usr/lib")), x.Add("up", tree.Symlink("../..")), x.Add("usr/lib", tree.Dir(fs.FileMode(0o755)))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// anything is a store that has the same content for every digest.
type anything []byte

func (a anything) open(context.Context, v1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(a)), nil
}

// FuzzMetadata: manifests, indexes and configurations are parsed or refused.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","platform":{"os":"linux","architecture":"amd64"}}]}`,
		`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"layers":[]}`,
		`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}`,
		`[{"Config":"c","RepoTags":["a:1"],"Layers":["l"]}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o := Options{Architecture: "amd64"}
		_, _ = imageOf(t.Context(), anything(text), v1.Descriptor{Digest: sha256Of(text)}, "", o)
		_, _ = openFiles(t.Context(), func(name string) (io.ReadCloser, error) {
			if name == "index.json" {
				return nil, fs.ErrNotExist
			}
			return io.NopCloser(bytes.NewReader(text)), nil
		}, "", o)
		_, _ = openLayout(t.Context(), func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, text, "", o)
	})
}
