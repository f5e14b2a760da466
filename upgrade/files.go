package upgrade

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"psyopsOS/release"
	"psyopsOS/step"
)

// readBounded reads a file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is larger than %s", name, step.Bytes(limit))
	}
	return text, nil
}

// signaturesAt reads NAME and NAME.KEYID in a folder.
func signaturesAt(dir, name string) ([][]byte, error) {
	signatures, err := release.ReadSignatures(os.DirFS(dir), name)
	return release.Texts(signatures), err
}

func isThere(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return err == nil
}

// room is how many bytes a release may have on a side: what is free, and what
// lies there now.
func room(root string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(root, &s); err != nil {
		return 0, fmt.Errorf("free space at %s: %w", root, err)
	}
	old, err := taken(os.DirFS(root))
	return int64(s.Bavail)*s.Bsize + old, err
}

// taken is how many bytes the files of a side have that a new release replaces,
// overwrites or goes on with: all of them, also what an apply that was ended has
// fetched of one.
func taken(side fs.FS) (n int64, err error) {
	err = fs.WalkDir(side, ".", func(name string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		switch {
		case err == nil && d.IsDir() && name == "lost+found":
			return fs.SkipDir
		case err == nil && d.Type().IsRegular():
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an apply goes on beside whoever only looks
		}
		if info != nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
