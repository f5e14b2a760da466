package tree

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// CheckName refuses names that do not stay inside the tree.
func CheckName(name string) error {
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q is no path inside the tree", name)
	}
	return nil
}

// Add puts n at name, in the place of what was there, and makes the folders
// that lead to it. Links in the way to it are followed inside the tree. A
// folder is not replaced by something else, nor the other way round; of two
// folders the first is kept, unless it was only made for what lies in it.
func (t *Tree) Add(name string, n *Node) error {
	at, err := t.place(name)
	if err != nil {
		return err
	}
	old := t.nodes[at]
	if old == nil {
		t.nodes[at] = n
		return nil
	}
	switch was, is := t.isDir(at), n.Mode.IsDir(); {
	case was && is:
		if old.implied {
			t.nodes[at] = n
		}
		return nil
	case was:
		return fmt.Errorf("%s: a folder would be replaced by a %s", name, kind(n))
	case is:
		return fmt.Errorf("%s: a %s would be replaced by a folder", name, kind(old))
	}
	t.nodes[at] = n
	return nil
}

// AddFile puts a regular file of root's at name.
func (t *Tree) AddFile(name string, perm fs.FileMode, content string) error {
	return t.Add(name, File(perm, []byte(content)))
}

// Put puts n at name as a later layer of an image does: whatever is there is
// replaced, with all that lies below it, but for a folder over a folder, which
// keeps what lies in it and gets n's mode and owner. Links in the way to name
// are followed inside the tree; a link at name itself is replaced.
func (t *Tree) Put(name string, n *Node) error {
	at, err := t.place(name)
	if err != nil {
		return err
	}
	if at == "." && !n.Mode.IsDir() {
		return fmt.Errorf("the root would be replaced by a %s", kind(n))
	}
	if old := t.nodes[at]; old != nil && old.Mode.IsDir() && !n.Mode.IsDir() {
		t.Remove(at)
	}
	t.nodes[at] = n
	return nil
}

// place finds where a node called name belongs, and makes its parents.
func (t *Tree) place(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if name == "." {
		return ".", nil
	}
	dir, err := t.Follow(path.Dir(name))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := t.makeDirs(dir); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return path.Join(dir, path.Base(name)), nil
}

func (t *Tree) makeDirs(dir string) error {
	if n := t.nodes[dir]; n != nil {
		if !n.Mode.IsDir() {
			return fmt.Errorf("%s is a %s and no folder", dir, kind(n))
		}
		return nil
	}
	if err := t.makeDirs(path.Dir(dir)); err != nil {
		return err
	}
	t.nodes[dir] = Dir(0o755)
	t.nodes[dir].implied = true
	return nil
}

// maxLinks is the kernel's limit too.
const maxLinks = 40

// Follow is the path that name leads to when every symbolic link in it, the
// last included, is followed inside the tree, as if the tree were the root
// file system. What the path names need not exist.
func (t *Tree) Follow(name string) (string, error) {
	at, rest, links := ".", strings.Split(name, "/"), 0
	for len(rest) > 0 {
		word := rest[0]
		rest = rest[1:]
		if word == "" || word == "." {
			continue
		}
		if word == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, word)
		n := t.nodes[next]
		if n == nil || n.Mode.Type() != fs.ModeSymlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s leads through more than %d links", name, maxLinks)
		}
		if path.IsAbs(n.Target) {
			at = "."
		}
		rest = append(strings.Split(n.Target, "/"), rest...)
	}
	return at, nil
}

// isDir reports whether name is a folder or a link to one: such a link stands
// for the folder, as /bin does where /usr is merged.
func (t *Tree) isDir(name string) bool {
	end, err := t.Follow(name)
	return err == nil && t.nodes[end] != nil && t.nodes[end].Mode.IsDir()
}

func kind(n *Node) string {
	switch n.Mode.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "folder"
	case fs.ModeSymlink:
		return "link"
	}
	return "special file"
}

// An Order says which tree wins where both have a file.
type Order int

// Over lets the merged tree replace files; Under leaves every file that is
// already there, as busybox's links must never replace a packaged program.
const (
	Over Order = iota
	Under
)

// Merge adds all of from. A folder that is in both keeps t's mode and owner.
func (t *Tree) Merge(from *Tree, order Order) error {
	for name, n := range from.All() {
		if name == "." {
			continue
		}
		if order == Under {
			at, err := t.place(name)
			if err != nil {
				return err
			}
			if t.nodes[at] != nil {
				continue
			}
		}
		if err := t.Add(name, n); err != nil {
			return err
		}
	}
	return nil
}
