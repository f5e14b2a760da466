package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"psyopsOS/image/decompress"
	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// onDisk takes a reference apart that names a file or folder, maybe with the
// name or digest of one of its images behind it. What looks like a path is one
// even if there is nothing.
func onDisk(ref string) (file, name string, local bool) {
	if _, err := os.Stat(ref); err == nil {
		return ref, "", true
	}
	if file, digest, found := strings.Cut(ref, "@"); found && exists(file) {
		return file, digest, true
	}
	for at := strings.LastIndexByte(ref, ':'); at > 0; at = strings.LastIndexByte(ref[:at], ':') {
		if exists(ref[:at]) {
			return ref[:at], ref[at+1:], true
		}
	}
	return ref, "", filepath.IsAbs(ref) || strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// LocalPath is the file or folder that ref names; empty for a registry's.
func LocalPath(ref string) string {
	file, _, local := onDisk(ref)
	if !local {
		return ""
	}
	return file
}

func openLocal(ctx context.Context, file, name string, o Options) (*Image, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openFiles(ctx, folder(file), name, o)
	}
	archive, err := readArchive(file)
	if err != nil {
		return nil, err
	}
	return openFiles(ctx, archive, name, o)
}

// files opens the files of a layout or archive by name.
type files func(name string) (io.ReadCloser, error)

// folder is a folder's files. Links do not lead out of it.
func folder(dir string) files {
	return func(name string) (io.ReadCloser, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		f, err := root.Open(name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, errors.Join(fmt.Errorf("%s is no regular file", name), err, f.Close())
		}
		return f, nil
	}
}

// readArchive is the files of a tar. A compressed one is uncompressed into a
// file that has no name any more.
func readArchive(file string) (files, error) {
	t, err := tree.ReadTarFile(file)
	if err != nil {
		var again error
		if t, again = readCompressed(file); again != nil {
			return nil, errors.Join(err, again)
		}
	}
	return func(name string) (io.ReadCloser, error) {
		f, err := t.FS().Open(name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, errors.Join(fmt.Errorf("%s is no regular file", name), err, f.Close())
		}
		return f, nil
	}, nil
}

func readCompressed(file string) (*tree.Tree, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain, err := decompress.Reader(f)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	spool, err := os.CreateTemp("", "psyopsOS-archive-")
	if err != nil {
		return nil, err
	}
	// The contents are read from the open file, until nobody has it any more.
	if err := os.Remove(spool.Name()); err != nil {
		return nil, err
	}
	return tree.ReadTar(limit(plain, maxSize), spool)
}

// openFiles opens the image in a layout, or in what `docker save` writes.
func openFiles(ctx context.Context, f files, name string, o Options) (*Image, error) {
	index, err := readFile(f, "index.json")
	if err == nil {
		return openLayout(ctx, f, index, name, o)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	text, err := readFile(f, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, step.WithHint(errors.New("neither index.json (an OCI layout) nor manifest.json (docker save) is in it"),
			"a tar of a whole root file system is taken by --userland tar:FILE")
	}
	if err != nil {
		return nil, err
	}
	return openDocker(f, text, name, o)
}

func openLayout(ctx context.Context, f files, index []byte, name string, o Options) (*Image, error) {
	s := layoutStore{f}
	m, err := parse(index, v1.ParseIndexManifest)
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	d, err := choose(m.Manifests, name, o.Architecture)
	if err != nil {
		return nil, err
	}
	return imageOf(ctx, s, d, "", o)
}

type layoutStore struct{ files }

func (s layoutStore) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return s.files(path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex))
}

// openDocker opens what `docker save` wrote before it wrote layouts: no digest
// vouches for such an archive as a whole, but that of its configuration does
// for the layers.
func openDocker(f files, text []byte, name string, o Options) (*Image, error) {
	m, err := parse(text, parseDockerManifest)
	if err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	d, err := chooseDocker(m, name)
	if err != nil {
		return nil, err
	}
	config, err := readFile(f, d.Config)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	diffIDs, err := parseConfig(config, o.Architecture)
	if err != nil {
		return nil, err
	}
	i := &Image{Digest: sha256Of(config).String(), store: dockerStore{f}}
	for _, name := range d.Layers {
		i.layers = append(i.layers, layer{blob: v1.Descriptor{Annotations: map[string]string{dockerFile: name}}})
	}
	return i, i.takeDiffIDs(diffIDs)
}

func chooseDocker(m tarball.Manifest, name string) (tarball.Descriptor, error) {
	var names []string
	var found []tarball.Descriptor
	for _, d := range m {
		names = append(names, d.RepoTags...)
		if name == "" || contains(d.RepoTags, name) {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return tarball.Descriptor{}, step.WithHint(fmt.Errorf("%d images and not one are called %q; there are %q", len(found), name, names), "name one: ARCHIVE:NAME")
	}
	return found[0], nil
}

// contains accepts repo:tag and the tag alone.
func contains(tags []string, name string) bool {
	for _, tag := range tags {
		if tag == name || strings.HasSuffix(tag, ":"+name) {
			return true
		}
	}
	return false
}

// dockerFile is where a layer's descriptor says which file it is.
const dockerFile = "psyopsOS.file"

type dockerStore struct{ files }

func (s dockerStore) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return s.files(d.Annotations[dockerFile])
}

func readFile(f files, name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q is no name of a file in it", name)
	}
	r, err := f(name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(limit(r, maxMetadata))
	return text, errors.Join(err, r.Close())
}
