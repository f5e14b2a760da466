package upgrade

import (
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
