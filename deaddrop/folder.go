package deaddrop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"psyopsOS/step"
)

// A Folder is the local mirror. Everything in it is reached through an
// os.Root, so that no key and no link leads out of it.
type Folder struct {
	root *os.Root
	dir  string
}

// OpenFolder is the folder dir.
func OpenFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, step.WithHint(err, "`tk mkimage ostar-dd efisystar-dd` makes it from a build, `tk deaddrop forcepull` from the bucket")
	}
	if err != nil {
		return nil, err
	}
	return &Folder{root, dir}, nil
}

// MakeFolder is the folder dir, made if it is not there.
func MakeFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return OpenFolder(dir)
}

// Close ends its use.
func (f *Folder) Close() error { return f.root.Close() }

// List is all that the folder holds. A link that is absolute, leads out of
// the folder, to nothing, to a folder or to a link is refused, and so is
// anything that is neither file, folder nor link.
func (f *Folder) List() (Listing, error) {
	l := Listing{}
	err := fs.WalkDir(f.root.FS(), ".", func(key string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case key == ".":
			return nil
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		l[key], err = f.entry(key, d.Type())
		return err
	})
	if err == nil {
		err = checkKeys(l)
	}
	if err == nil {
		err = checkLinks(l)
	}
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", f.dir, err)
	}
	return l, nil
}

func (f *Folder) entry(key string, t fs.FileMode) (Entry, error) {
	switch t {
	case 0:
		info, err := f.root.Lstat(key)
		if err != nil {
			return Entry{}, err
		}
		return Entry{Key: key, Size: info.Size()}, nil
	case fs.ModeSymlink:
		target, err := f.root.Readlink(key)
		if err != nil {
			return Entry{}, err
		}
		to, err := resolve(key, target)
		return Entry{Key: key, Link: to}, err
	}
	return Entry{}, step.WithHint(fmt.Errorf("%s is neither a file nor a link", key), "remove it")
}

// resolve is the key that the link key with this text leads to.
func resolve(key, target string) (string, error) {
	refuse := func(why string) error {
		return step.WithHint(fmt.Errorf("link %s leads to %q: %s", key, target, why), "a link is relative and stays in the folder, e.g. ln -s NAME.tar.minisig %s", path.Base(key))
	}
	if target == "" || path.IsAbs(target) {
		return "", refuse("it is not relative")
	}
	to := path.Join(path.Dir(key), target)
	if to == ".." || strings.HasPrefix(to, "../") {
		return "", refuse("it leads out of the folder")
	}
	if err := checkKey(to); err != nil {
		return "", refuse(err.Error())
	}
	return to, nil
}

// linkText is the relative text of a link.
func linkText(key, to string) string {
	from, target := strings.Split(path.Dir(key), "/"), strings.Split(to, "/")
	if path.Dir(key) == "." {
		from = nil
	}
	for len(from) > 0 && len(target) > 1 && from[0] == target[0] {
		from, target = from[1:], target[1:]
	}
	return strings.Repeat("../", len(from)) + strings.Join(target, "/")
}

// Hash fills in the SHA-256 of those files of l that want says, and those of
// the parts of what will be sent.
func (f *Folder) Hash(ctx context.Context, l Listing, progress func(done, total int64), want, sent func(Entry) bool) error {
	var total, done int64
	var keys []string
	for _, key := range l.Keys() {
		if e := l[key]; !e.IsLink() && want(e) {
			keys, total = append(keys, key), total+e.Size
		}
	}
	for _, key := range keys {
		e := l[key]
		if err := f.hash(ctx, &e, sent(e), func(n int) { done += int64(n); progress(done, total) }); err != nil {
			return err
		}
		l[key] = e
	}
	return nil
}

func (f *Folder) hash(ctx context.Context, e *Entry, sent bool, tell func(n int)) error {
	file, err := f.root.Open(e.Key)
	if err != nil {
		return err
	}
	defer file.Close()
	whole := sha256.New()
	from := contextReader{ctx, io.LimitReader(file, e.Size+1), tell}
	n := int64(0)
	if size := partSizeOf(e.Size); e.Size <= size || !sent {
		n, err = io.CopyBuffer(whole, from, make([]byte, 1<<20))
	} else {
		n, err = hashParts(whole, e, from, make([]byte, size))
	}
	if err == nil && n != e.Size {
		err = changedError(e.Key)
	}
	e.SHA256 = hex.EncodeToString(whole.Sum(nil))
	return err
}

// hashParts reads a file once. The whole's hash cannot be split; its parts' are
// made beside it, on another core.
func hashParts(whole io.Writer, e *Entry, from io.Reader, buffer []byte) (n int64, err error) {
	e.parts = &[]partSum{}
	for err == nil {
		var got int
		if got, err = io.ReadFull(from, buffer); got == 0 {
			break
		}
		part := buffer[:got]
		n += int64(got)
		var wait sync.WaitGroup
		wait.Go(func() { *e.parts = append(*e.parts, sumOf(part)) })
		whole.Write(part)
		wait.Wait()
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

func changedError(key string) error {
	return step.WithHint(fmt.Errorf("%s changed while it was read", key), "wait until whoever writes it is done, and try again")
}

// A contextReader reads until the context ends, and tells how much.
type contextReader struct {
	ctx  context.Context
	from io.Reader
	tell func(n int)
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.from.Read(p)
	r.tell(n)
	return n, err
}
