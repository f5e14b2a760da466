package deaddrop

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"psyopsOS/step"
)

// Write makes the file of e from r. The file has its name only once it is
// whole: of the size and, where e has one, the hash that e says.
func (f *Folder) Write(e Entry, r io.Reader) error {
	if err := checkKey(e.Key); err != nil {
		return err
	}
	if err := f.makeParent(e.Key); err != nil {
		return err
	}
	h := sha256.New()
	return f.replace(e.Key, func(temporary string) (err error) {
		file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		n, err := io.CopyBuffer(io.MultiWriter(file, h), io.LimitReader(r, e.Size+1), make([]byte, 1<<20))
		switch sum := hex.EncodeToString(h.Sum(nil)); {
		case err != nil:
			return err
		case n > e.Size:
			return fmt.Errorf("%s: more than the %d bytes that were announced", e.Key, e.Size)
		case n < e.Size:
			return fmt.Errorf("%s: %d bytes of %d", e.Key, n, e.Size)
		case e.SHA256 != "" && sum != e.SHA256:
			return step.WithHint(fmt.Errorf("%s: its SHA-256 is %s, its metadata say %s", e.Key, sum, e.SHA256),
				"the object has been damaged or replaced in the bucket; look at who may write there")
		}
		return file.Sync()
	})
}

// Link makes or moves the link key, in one step.
func (f *Folder) Link(key, to string) error {
	if err := errors.Join(checkKey(key), checkKey(to)); err != nil {
		return err
	}
	if err := f.makeParent(key); err != nil {
		return err
	}
	return f.replace(key, func(temporary string) error { return f.root.Symlink(linkText(key, to), temporary) })
}

// replace gives what make makes the name key, in one step and for good.
func (f *Folder) replace(key string, make func(temporary string) error) error {
	temporary := path.Join(path.Dir(key), "."+path.Base(key)+".part")
	// One that an earlier run left behind is of no use.
	if err := f.root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := make(temporary); err != nil {
		return errors.Join(err, f.removeIfThere(temporary))
	}
	if err := f.root.Rename(temporary, key); err != nil {
		return errors.Join(err, f.removeIfThere(temporary))
	}
	return f.sync(path.Dir(key))
}

func (f *Folder) removeIfThere(name string) error {
	if err := f.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeParent makes the folder of key. A link in the way is not followed: it
// may lead to another key's folder.
func (f *Folder) makeParent(key string) error {
	dir := path.Dir(key)
	for at := dir; at != "."; at = path.Dir(at) {
		info, err := f.root.Lstat(at)
		if err == nil && !info.IsDir() {
			return step.WithHint(fmt.Errorf("%s: %s is no folder", key, at), "remove it")
		}
	}
	return f.root.MkdirAll(dir, 0o755)
}

// Remove removes a file or link. That it is gone already is no error.
func (f *Folder) Remove(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return f.removeIfThere(key)
}

func (f *Folder) sync(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
