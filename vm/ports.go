package vm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// runFiles are the open files of one run: our ends and QEMU's ends of the
// console and the events, and the logs.
type runFiles struct {
	ours, theirs          [2]*os.File
	console, events, qemu *os.File
}

func openRun(dir string) (*runFiles, error) {
	var f runFiles
	for i, name := range []string{"console", "events"} {
		var err error
		if f.ours[i], f.theirs[i], err = socketPair(name); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	for name, file := range map[string]**os.File{consoleFile: &f.console, eventsFile: &f.events, qemuFile: &f.qemu} {
		var err error
		if *file, err = os.Create(filepath.Join(dir, name)); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return &f, nil
}

func socketPair(name string) (ours, theirs *os.File, err error) {
	// Non-blocking, so that Go's poller has our end; QEMU sets its own.
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("a socket pair for %s: %w", name, err)
	}
	roomy(pair[1])
	return os.NewFile(uintptr(pair[0]), name), os.NewFile(uintptr(pair[1]), name), nil
}

// roomFor is what a port holds that nobody has read yet, as the kernel counts:
// QEMU writes a serial line's characters one by one, and each takes some 768
// bytes. By default 277 of them have room. The guest's kernel waits 10 ms for
// its serial port to be ready and then writes the next character over the last
// one: on a busy machine "psyopsos=" reached a test as "yopsos=".
const roomFor = 40_000 * 768

// roomy is done as well as this user may: root has all of it, others twice what
// sockets have by default (net.core.wmem_max).
func roomy(fd int) {
	const kernelDoublesIt = 2
	for _, option := range []int{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, roomFor/kernelDoublesIt) == nil {
			return
		}
	}
}

// closeTheirs drops our copies of QEMU's ends, so that ours end when QEMU does.
func (f *runFiles) closeTheirs() {
	for i := range f.theirs {
		_ = f.theirs[i].Close()
		f.theirs[i] = nil
	}
}

func (f *runFiles) close() error {
	var errs []error
	for _, file := range append(append(f.ours[:], f.theirs[:]...), f.console, f.events, f.qemu) {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

// ErrEnded is why a wait ends when the virtual machine does.
var ErrEnded = errors.New("the virtual machine has ended")

// ending turns the errors by which a port tells QEMU's end into ErrEnded. A
// reset comes where QEMU left something unread.
func ending(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return ErrEnded
	}
	return err
}
