package upgrade

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

// What an apply that was ended has left is room for the next one, which goes on
// with it or removes it; on a side that is just large enough nothing else is.
func TestAllThatLiesOnASideIsRoomForARelease(t *testing.T) {
	file := func(n int) *fstest.MapFile { return &fstest.MapFile{Data: make([]byte, n)} }
	n, err := taken(fstest.MapFS{
		"kernel": file(1), "squashfs.unverified-0123456789abcdef": file(20), "squashfs.unverified": file(300),
		"dtbs/vendor/board.dtb": file(4000), "psyopsOS.tar.minisig.0123": file(50000), "lost+found/#12": file(600000),
	})
	if n != 54321 || err != nil {
		t.Errorf("got %d, %v; want all but lost+found", n, err)
	}
}

// A leaving side is one whose files go away, or cannot be read, while they are
// looked at.
type leaving struct {
	fstest.MapFS
	err error
}

type leavingEntry struct {
	fs.DirEntry
	err error
}

func (l leaving) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := l.MapFS.ReadDir(name)
	for i, e := range entries {
		entries[i] = leavingEntry{e, l.err}
	}
	return entries, err
}

func (e leavingEntry) Info() (fs.FileInfo, error) {
	if e.Name() == "squashfs.unverified-0123456789abcdef" {
		return nil, &fs.PathError{Op: "lstat", Path: e.Name(), Err: e.err}
	}
	return e.DirEntry.Info()
}

func TestAFileThatGetsItsNameWhileTheSideIsLookedAtIsNoError(t *testing.T) {
	side := fstest.MapFS{"kernel": {Data: make([]byte, 7)}, "squashfs.unverified-0123456789abcdef": {Data: make([]byte, 100)}, "lost+found": {Data: make([]byte, 30)}}
	if n, err := taken(leaving{side, fs.ErrNotExist}); n != 37 || err != nil {
		t.Errorf("got %d, %v; want 37, of which 30 are a file that is called like a folder", n, err)
	}
	broken := errors.New("broken")
	if _, err := taken(leaving{side, broken}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
