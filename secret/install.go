package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Install writes files below root, each in one go, with exactly their mode
// whatever the umask is. One that cannot be written does not keep the others
// from it; the error holds all that failed. No link below root leads out of it.
func Install(root string, files []File) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	var errs []error
	for _, f := range files {
		if err := f.install(r); err != nil {
			errs = append(errs, fmt.Errorf("write %s: %w", f.Path, err))
		}
	}
	return errors.Join(errs...)
}

func (f File) install(r *os.Root) error {
	name := strings.TrimPrefix(path.Clean(f.Path), "/")
	if err := folder(r, path.Dir(name)); err != nil {
		return err
	}
	switch {
	case f.Mode.IsDir():
		return exactFolder(r, name, f.Mode.Perm())
	case f.Line:
		return addLine(r, name, f)
	}
	return replace(r, name, f.Data.Reveal(), f.Mode)
}

// folder makes a folder and those above it; what is there stays as it is.
func folder(r *os.Root, name string) error {
	if name == "." {
		return nil
	}
	if info, err := r.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := folder(r, path.Dir(name)); err != nil {
		return err
	}
	return exactFolder(r, name, 0o755)
}

func exactFolder(r *os.Root, name string, mode fs.FileMode) error {
	err := r.Mkdir(name, mode)
	if errors.Is(err, fs.ErrExist) {
		var info fs.FileInfo
		if info, err = r.Stat(name); err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is there and is not a folder", name)
		}
	}
	if err != nil {
		return err
	}
	return r.Chmod(name, mode)
}

// replace gives name its new content by a rename: nobody sees half of it, and
// a link of that name is replaced, not followed. The way to its folder is gone
// once: each of the calls below would go it again, folder by folder.
func replace(r *os.Root, name string, data []byte, mode fs.FileMode) error {
	folder, err := r.OpenRoot(path.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close()
	name = path.Base(name)
	temporary := "." + name + ".new"
	f, err := create(folder, temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = folder.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, folder.Remove(temporary))
	}
	return nil
}

// create makes a file that only its owner can read. One that is there, or a
// link, makes way.
func create(folder *os.Root, name string) (*os.File, error) {
	const anew = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := folder.OpenFile(name, anew, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err := folder.Remove(name); err != nil {
			return nil, err
		}
		f, err = folder.OpenFile(name, anew, 0o600)
	}
	return f, err
}

// tableLimit bounds a table to which a line is added.
const tableLimit = 1 << 20

// addLine appends to a table in place, so that its owner and mode stay.
func addLine(r *os.Root, name string, file File) error {
	f, err := r.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, file.Mode)
	if err != nil {
		return err
	}
	defer f.Close()
	table, err := io.ReadAll(io.LimitReader(f, tableLimit+1))
	if err != nil {
		return err
	}
	if len(table) > tableLimit {
		return fmt.Errorf("it has more than %d bytes", tableLimit)
	}
	line := file.Data.Reveal()
	user := line[:bytes.IndexByte(line, ':')+1]
	if bytes.Contains(append([]byte("\n"), table...), append([]byte("\n"), user...)) {
		return nil
	}
	added := append(bytes.Clone(line), '\n')
	if len(table) > 0 && !bytes.HasSuffix(table, []byte("\n")) {
		added = append([]byte("\n"), added...)
	}
	_, err = f.Write(added)
	return err
}
