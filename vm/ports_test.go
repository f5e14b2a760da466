package vm

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// QEMU writes a serial line's characters one by one, and the guest's kernel
// loses those for which there is no room.
func TestAPortHoldsABootThatNobodyReads(t *testing.T) {
	ours, theirs, err := socketPair("console")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	raw, err := theirs.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	var failed error
	if err := raw.Control(func(fd uintptr) {
		for ; failed == nil && written < 1<<20; written++ {
			_, failed = unix.Write(int(fd), []byte{'x'})
		}
	}); err != nil || !errors.Is(failed, unix.EAGAIN) {
		t.Fatal(err, failed)
	}
	want := 500 // what net.core.wmem_max lets everybody have
	if os.Geteuid() == 0 {
		want = 30_000
	}
	if written < want {
		t.Errorf("it holds %d characters, want %d", written, want)
	}
}
