package upgrade

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/repo"
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
// the release that lies there now takes.
func room(root string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(root, &s); err != nil {
		return 0, fmt.Errorf("free space at %s: %w", root, err)
	}
	n := int64(s.Bavail) * s.Bsize
	for _, name := range append(layout.OSMembers(), layout.BootSum, layout.OSTarSignature) {
		for _, suffix := range []string{"", repo.Unverified} {
			if info, err := os.Lstat(filepath.Join(root, name+suffix)); err == nil && info.Mode().IsRegular() {
				n += info.Size()
			}
		}
	}
	return n, nil
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
