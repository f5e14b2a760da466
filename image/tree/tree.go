// Package tree is a tree of files as a value: what a package brings, what an
// overlay adds, what goes into a squashfs, a tar or an initramfs. Owners,
// modes and device nodes are data here, so that making an image needs no root
// and does not depend on who builds it, under which umask, on which disk.
//
// It reads folders (through fs.FS) and tars, and writes tars and cpio
// archives; contents are opened only when they are written.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// A Node is one file, folder, symbolic link or device. It is not changed once
// it is in a tree; a regular file that is in a tree under two names is a hard
// link.
type Node struct {
	Mode         fs.FileMode // type, permissions, setuid, setgid, sticky
	UID, GID     int
	Size         int64                         // of a regular file
	Open         func() (io.ReadCloser, error) // of a regular file
	Target       string                        // of a symbolic link
	Major, Minor uint32                        // of a device
	Xattrs       map[string]string

	implied bool // a folder that was made because something lies in it
}

// A Tree is a set of nodes by path. Paths are as in io/fs: slash-separated,
// without a leading slash; "." is the root, which is always there.
type Tree struct{ nodes map[string]*Node }

// New is a tree that holds a root folder of mode 0755.
func New() *Tree { return &Tree{map[string]*Node{".": Dir(0o755)}} }

// Dir is a folder of root's.
func Dir(perm fs.FileMode) *Node { return &Node{Mode: fs.ModeDir | perm} }

// File is a regular file of root's.
func File(perm fs.FileMode, content []byte) *Node {
	return &Node{Mode: perm, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

// FileOf is a regular file of root's whose content is that of the file name
// on the build machine.
func FileOf(perm fs.FileMode, name string) (*Node, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return &Node{Mode: perm, Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(name) }}, nil
}

// Symlink is a symbolic link.
func Symlink(target string) *Node { return &Node{Mode: fs.ModeSymlink | 0o777, Target: target} }

// CharDevice is a character device of root's.
func CharDevice(perm fs.FileMode, major, minor uint32) *Node {
	return &Node{Mode: fs.ModeDevice | fs.ModeCharDevice | perm, Major: major, Minor: minor}
}

// BlockDevice is a block device of root's.
func BlockDevice(perm fs.FileMode, major, minor uint32) *Node {
	return &Node{Mode: fs.ModeDevice | perm, Major: major, Minor: minor}
}

// With is a copy of n with another mode and owner.
func (n *Node) With(perm fs.FileMode, uid, gid int) *Node {
	c := *n
	c.Mode, c.UID, c.GID = n.Mode.Type()|perm, uid, gid
	return &c
}

// Content reads the whole of a regular file.
func (n *Node) Content() ([]byte, error) {
	if !n.Mode.IsRegular() {
		return nil, fmt.Errorf("a %s has no content", n.Mode.Type())
	}
	r, err := n.Open()
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

// Len is the number of nodes, the root included.
func (t *Tree) Len() int { return len(t.nodes) }

// Size is the sum of the sizes of all regular files, hard links counted once.
func (t *Tree) Size() int64 {
	var sum int64
	seen := map[*Node]bool{}
	for _, n := range t.nodes {
		if !seen[n] {
			sum += n.Size
		}
		seen[n] = true
	}
	return sum
}

// All yields the nodes sorted by path, a folder before what lies in it.
func (t *Tree) All() iter.Seq2[string, *Node] {
	return func(yield func(string, *Node) bool) {
		// The root's "." sorts behind "-", but it is a parent of all.
		if !yield(".", t.nodes["."]) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(t.nodes)) {
			if name != "." && !yield(name, t.nodes[name]) {
				return
			}
		}
	}
}

// Get is the node at name itself; links are not followed.
func (t *Tree) Get(name string) (*Node, bool) {
	n, ok := t.nodes[name]
	return n, ok
}

// Has reports whether there is a node at name.
func (t *Tree) Has(name string) bool { return t.nodes[name] != nil }

// SetRoot replaces the root folder's mode and owner.
func (t *Tree) SetRoot(perm fs.FileMode, uid, gid int) { t.nodes["."] = Dir(perm).With(perm, uid, gid) }

// Remove takes name and what lies below it out of the tree, and reports
// whether there was anything.
func (t *Tree) Remove(name string) bool {
	before := len(t.nodes)
	t.RemoveFunc(func(p string, _ *Node) bool { return p == name || strings.HasPrefix(p, name+"/") })
	return len(t.nodes) < before
}

// RemoveFunc takes out every node that unwanted names, with all that lies
// below it.
func (t *Tree) RemoveFunc(unwanted func(name string, n *Node) bool) {
	gone := map[string]bool{}
	for name, n := range t.All() {
		if name != "." && (gone[path.Dir(name)] || unwanted(name, n)) {
			gone[name] = true
			delete(t.nodes, name)
		}
	}
}

// Sub is the tree below dir; its nodes are shared with t.
func (t *Tree) Sub(dir string) *Tree {
	sub := New()
	for name, n := range t.nodes {
		if name == dir {
			sub.nodes["."] = n
		} else if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			sub.nodes[rest] = n
		}
	}
	return sub
}
