package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"psyopsOS/image/tree"
)

// moduleDir is where the tree of a kernel has its modules.
func (k Kernel) moduleDir() string { return path.Join("lib/modules", k.Version) }

// depmod indexes modules (KVER's folder) with the kmod program, and gives
// them back as lib/modules/KVER with the index files. Debian's packages have
// none: they are made at installation.
func (k Kernel) depmod(ctx context.Context, modules *tree.Tree) (_ *tree.Tree, err error) {
	root, err := os.MkdirTemp("", "depmod-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	dir := filepath.Join(root, k.moduleDir())
	if err := writeTree(dir, modules); err != nil {
		return nil, err
	}
	said, err := exec.CommandContext(ctx, "depmod", "-b", root, k.Version).CombinedOutput()
	// depmod warns of missing lists, of which old kernels have fewer; of a
	// module that it cannot read it says so and ends well.
	if err == nil && bytes.Contains(said, []byte("ERROR:")) {
		err = errors.New("it left something out")
	}
	if err != nil {
		return nil, fmt.Errorf("depmod: %w\n%s", err, bytes.TrimSpace(said))
	}
	return k.indexed(modules, dir)
}

// indexed is modules with the index files that depmod left in dir.
func (k Kernel) indexed(modules *tree.Tree, dir string) (*tree.Tree, error) {
	t := tree.New()
	if err := t.Add(k.moduleDir(), tree.Dir(0o755)); err != nil {
		return nil, err
	}
	for name, n := range modules.All() {
		if name == "." {
			continue
		}
		if err := t.Add(path.Join(k.moduleDir(), name), n); err != nil {
			return nil, err
		}
	}
	files, err := fs.Glob(os.DirFS(dir), "modules.*")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if err := t.Add(path.Join(k.moduleDir(), name), tree.File(0o644, content)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// writeTree writes folders and files of t below dir.
func writeTree(dir string, t *tree.Tree) error {
	for name, n := range t.All() {
		at := filepath.Join(dir, name)
		var err error
		if n.Mode.IsDir() {
			err = os.MkdirAll(at, 0o755)
		} else {
			err = writeNode(at, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeNode(name string, n *tree.Node) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(copyNode(f, n), f.Close())
}

// uncompressModule reads a module that is compressed as its name tells.
func uncompressModule(name string, n *tree.Node) ([]byte, error) {
	r, err := n.Open()
	if err != nil {
		return nil, err
	}
	content, err := uncompress(name, r)
	return content, errors.Join(err, r.Close())
}

func uncompress(name string, r io.Reader) ([]byte, error) {
	switch path.Ext(name) {
	case ".xz":
		x, err := xz.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(x)
	case ".zst":
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
