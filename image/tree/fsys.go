package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// PlainModes are the permissions of files whose folder cannot tell them (an
// embedded folder, or one under somebody's umask): folders and executable
// files 0755, the rest 0644.
func PlainModes(_ string, info fs.FileInfo) fs.FileMode {
	if info.IsDir() || info.Mode()&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// FromFS reads the tree of fsys. All is root's; perm decides permissions.
func FromFS(fsys fs.FS, perm func(name string, info fs.FileInfo) fs.FileMode) (*Tree, error) {
	t := New()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n, err := nodeIn(fsys, name, info, perm(name, info))
		if err != nil {
			return err
		}
		return t.Add(name, n)
	})
	return t, err
}

func nodeIn(fsys fs.FS, name string, info fs.FileInfo, perm fs.FileMode) (*Node, error) {
	switch info.Mode().Type() {
	case fs.ModeDir:
		return Dir(perm), nil
	case fs.ModeSymlink:
		target, err := fs.ReadLink(fsys, name)
		return Symlink(target), err
	case 0:
		return &Node{Mode: perm, Size: info.Size(), Open: func() (io.ReadCloser, error) { return fsys.Open(name) }}, nil
	}
	return nil, fmt.Errorf("%s: a %s cannot be taken over from a folder", name, info.Mode().Type())
}

// FS is the tree as a file system to read. Links are followed in it as if it
// were the root file system.
func (t *Tree) FS() fs.FS { return fsys{t} }

type fsys struct{ tree *Tree }

func (f fsys) find(op, name string, follow bool) (*Node, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	dir, err := f.tree.Follow(path.Dir(name))
	at := path.Join(dir, path.Base(name))
	if follow && err == nil {
		at, err = f.tree.Follow(name)
	}
	n := f.tree.nodes[at]
	if err == nil && n == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, at, nil
}

func (f fsys) Open(name string) (fs.File, error) {
	n, at, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	file := &openFile{info: info{path.Base(name), n}}
	switch {
	case n.Mode.IsDir():
		file.entries = f.entries(at)
	case n.Mode.IsRegular():
		if file.content, err = n.Open(); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	return file, nil
}

func (f fsys) Stat(name string) (fs.FileInfo, error) {
	n, _, err := f.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), n}, nil
}

func (f fsys) Lstat(name string) (fs.FileInfo, error) {
	n, _, err := f.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), n}, nil
}

func (f fsys) ReadLink(name string) (string, error) {
	n, _, err := f.find("readlink", name, false)
	if err == nil && n.Mode.Type() != fs.ModeSymlink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return n.Target, nil
}

func (f fsys) entries(dir string) []fs.DirEntry {
	entries := []fs.DirEntry{}
	for name, n := range f.tree.nodes {
		if name != "." && path.Dir(name) == dir {
			entries = append(entries, fs.FileInfoToDirEntry(info{path.Base(name), n}))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries
}

type info struct {
	name string
	node *Node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.node.Size }
func (i info) Mode() fs.FileMode  { return i.node.Mode }
func (i info) ModTime() time.Time { return time.Unix(0, 0).UTC() }
func (i info) IsDir() bool        { return i.node.Mode.IsDir() }
func (i info) Sys() any           { return i.node }

type openFile struct {
	info
	content io.ReadCloser
	entries []fs.DirEntry
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *openFile) Read(p []byte) (int, error) {
	if f.content == nil {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: errors.New("no regular file")}
	}
	return f.content.Read(p)
}

func (f *openFile) Close() error {
	if f.content == nil {
		return nil
	}
	return f.content.Close()
}

func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if !f.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: errors.New("no folder")}
	}
	if n <= 0 || n > len(f.entries) {
		if n > 0 && len(f.entries) == 0 {
			return nil, io.EOF
		}
		n = len(f.entries)
	}
	some := f.entries[:n]
	f.entries = f.entries[n:]
	return some, nil
}
