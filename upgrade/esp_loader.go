package upgrade

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// A LoaderFile is the boot loader as it lies on an EFI system partition.
type LoaderFile struct {
	Version string            // empty of one that is not ours
	Sum     [sha256.Size]byte // without the zeros behind it
	Err     error             // why it cannot be read
}

func (f LoaderFile) same(other LoaderFile) bool {
	return f.Err == nil && other.Err == nil && f.Sum == other.Sum
}

func loaderAt(r io.ReaderAt, path string) LoaderFile {
	content, err := bootstate.ReadWhole(r, path, maxLoader)
	if err != nil {
		return LoaderFile{Err: err}
	}
	return loaderFile(content)
}

func loaderFile(content []byte) LoaderFile {
	return LoaderFile{Version: bootstate.LoaderVersion(content), Sum: sha256.Sum256(bytes.TrimRight(content, "\x00"))}
}

// proven says whether the loader on the first partition is the one through
// which this machine was booted, so that it can be trusted with the second.
func (l Loader) proven() bool {
	return l.On1.Err == nil && l.On1.Version != "" && l.On1.Version == l.Running && !l.ChangedNow
}

// secondIsBehind says whether the second partition's loader is to follow.
func (l Loader) secondIsBehind() bool {
	return l.Second != "" && l.proven() && !l.On1.same(l.On2)
}

// changedMark is there from when the loader is changed until the machine
// restarts: loader and side never change in the same boot.
const changedMark = layout.RunDir + "/loader-changed"

func markChanged(root string) error {
	name := filepath.Join(root, changedMark)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, nil, 0o644)
}

func isChanged(root string) bool {
	_, err := os.Stat(filepath.Join(root, changedMark))
	return err == nil
}
