package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"psyopsOS/image/decompress"
	"psyopsOS/image/tree"
)

// Tree puts the image's layers over one another. Contents go to the end of
// spool, which must stay open as long as the tree is used; where it is nil
// they stay in memory.
func (i *Image) Tree(ctx context.Context, spool *os.File) (*tree.Tree, error) {
	t, left := tree.New(), i.maxSize
	for n, l := range i.layers {
		size, err := i.apply(ctx, t, l, spool, left)
		if err != nil {
			return nil, fmt.Errorf("image %s: layer %d of %d: %w", i.Ref, n+1, len(i.layers), err)
		}
		left -= size
		if t.Len() > maxFiles {
			return nil, fmt.Errorf("image %s: more than %d files", i.Ref, maxFiles)
		}
	}
	return t, nil
}

// apply reads one layer, verifies it, and changes t as it says.
func (i *Image) apply(ctx context.Context, t *tree.Tree, l layer, spool *os.File, left int64) (size int64, err error) {
	blob, err := i.store.open(ctx, l.blob)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	var packed io.Reader = blob
	if l.blob.Digest.Hex != "" {
		packed = verified(blob, l.blob.Digest, l.blob.Size)
	}
	plain, err := decompress.Reader(packed)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	counted := counter{limit(verified(plain, l.diffID, 0), left), func(n int64) { size += n }}
	changes, err := readChanges(counted, spool)
	if err != nil {
		return 0, err
	}
	// Both streams are read to their ends, where they are judged: a tar's end
	// comes before.
	for _, r := range []io.Reader{counted, packed} {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return 0, err
		}
	}
	return size, changes.apply(t)
}

// Whiteouts: a file of this name says that another one of the layers below is
// gone, or with opaque that all is in the folder that it lies in.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	reserved = ".wh..wh." // what aufs kept for itself
)

// changes are what a layer does to those below it.
type changes struct {
	gone   []string // in the layers below, with what is below them
	opaque []string // folders that are empty but for what this layer brings
	add    []tree.Member
}

// readChanges reads a layer. Nothing of it is done yet: whiteouts are meant
// for the layers below, wherever in the tar they come.
func readChanges(r io.Reader, spool *os.File) (changes, error) {
	var c changes
	err := tree.ReadMembers(r, spool, func(m tree.Member) error {
		if len(c.add)+len(c.gone)+len(c.opaque) > maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		return c.take(m)
	})
	return c, err
}

func (c *changes) take(m tree.Member) error {
	dir, base := path.Split(m.Name)
	hidden, isWhiteout := strings.CutPrefix(base, whiteout)
	switch {
	case !isWhiteout:
		if m.Node != nil {
			m.Node = withoutOverlay(m.Node)
		}
		c.add = append(c.add, m)
	case base == opaque:
		c.opaque = append(c.opaque, path.Clean(dir))
	case strings.HasPrefix(base, reserved):
	case hidden == "" || hidden == "." || hidden == "..":
		return errors.New("a whiteout of no file")
	default:
		c.gone = append(c.gone, path.Join(dir, hidden))
	}
	return nil
}

// withoutOverlay takes out what the overlay file system notes for itself: in
// the lower layer of our own overlay it would make files vanish.
func withoutOverlay(n *tree.Node) *tree.Node {
	for key := range n.Xattrs {
		if strings.HasPrefix(key, "trusted.overlay.") || strings.HasPrefix(key, "user.overlay.") {
			delete(n.Xattrs, key)
		}
	}
	return n
}

// apply does to t what the layer says. Links are followed inside t, as the
// kernel would in the root that t becomes.
func (c changes) apply(t *tree.Tree) error {
	gone, empty := map[string]bool{}, map[string]bool{}
	for _, name := range c.gone {
		dir, err := t.Follow(path.Dir(name))
		if err != nil {
			return fmt.Errorf("whiteout: %w", err)
		}
		gone[path.Join(dir, path.Base(name))] = true
	}
	for _, name := range c.opaque {
		dir, err := t.Follow(name)
		if err != nil {
			return fmt.Errorf("opaque folder: %w", err)
		}
		empty[dir] = true
	}
	if len(gone)+len(empty) > 0 {
		t.RemoveFunc(func(at string, _ *tree.Node) bool { return gone[at] || empty[path.Dir(at)] })
	}
	for _, m := range c.add {
		if err := put(t, m); err != nil {
			return err
		}
	}
	return nil
}

func put(t *tree.Tree, m tree.Member) error {
	n := m.Node
	if n == nil {
		dir, err := t.Follow(path.Dir(m.LinkTo))
		if err != nil {
			return fmt.Errorf("%s: hard link: %w", m.Name, err)
		}
		to, ok := t.Get(path.Join(dir, path.Base(m.LinkTo)))
		if !ok || to.Mode.IsDir() {
			return fmt.Errorf("%s: hard link to %s, which is no file before it", m.Name, m.LinkTo)
		}
		n = to
	}
	if n.Mode.Type() == fs.ModeSocket {
		return nil
	}
	return t.Put(m.Name, n)
}

// counter tells how many bytes were read.
type counter struct {
	io.Reader
	count func(bytes int64)
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.count(int64(n))
	return n, err
}
