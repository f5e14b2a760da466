package mounts

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func kernelActs() acts {
	return acts{pid: os.Getpid, fsMagic: fsMagic, checkInit: checkInit, makePoint: makePoint,
		openConsole: openConsole, switchRoot: switchRoot, empty: emptyOldRoot, execute: execute}
}

func fsMagic(name string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(name, &stat); err != nil {
		return 0, fmt.Errorf("what is mounted at %s: %w", name, err)
	}
	return int64(stat.Type), nil
}

// makePoint makes a folder, or for what is bound over a file a file, in the new
// root. A link that leads out of it is refused: the mount would end up in the
// old root, which is deleted.
func makePoint(newRoot, name string) error {
	root, err := os.OpenRoot(newRoot)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	relative := strings.TrimPrefix(name, "/")
	if info.IsDir() {
		return root.MkdirAll(relative, 0o755)
	}
	if dir := filepath.Dir(relative); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	file, err := root.OpenFile(relative, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

// openConsole takes no controlling terminal: the new init gives that to its
// gettys.
func openConsole(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// switchRoot moves the new root over the old one and goes there. The old one
// can be reached only through the descriptor from then on.
func switchRoot(newRoot string) (*os.File, error) {
	oldRoot, err := os.Open("/")
	if err != nil {
		return nil, err
	}
	for _, act := range []struct {
		name string
		do   func() error
	}{
		{"go to " + newRoot, func() error { return unix.Chdir(newRoot) }},
		{"move " + newRoot + " to /", func() error { return unix.Mount(".", "/", "", unix.MS_MOVE, "") }},
		{"change the root", func() error { return unix.Chroot(".") }},
		{"go to the new root", func() error { return unix.Chdir("/") }},
	} {
		if err := act.do(); err != nil {
			oldRoot.Close()
			return nil, fmt.Errorf("%s: %w", act.name, err)
		}
	}
	return oldRoot, nil
}

// emptyOldRoot deletes the initramfs's files. It asks once more whether that is
// what they are: in RAM, seen by PID 1, and not below the root of today.
func emptyOldRoot(oldRoot *os.File) error {
	var magic unix.Statfs_t
	var old, now unix.Stat_t
	err := errors.Join(unix.Fstatfs(int(oldRoot.Fd()), &magic), unix.Fstat(int(oldRoot.Fd()), &old), unix.Stat("/", &now))
	switch {
	case err != nil:
		return err
	case os.Getpid() != 1 || magic.Type != ramfsMagic && magic.Type != tmpfsMagic || old.Dev == now.Dev:
		return errors.New("refused: this is no initramfs that was left")
	}
	return emptyFolder(int(oldRoot.Fd()))
}

// emptyFolder deletes what is in an open folder, and crosses no mount point,
// not even to another folder of the same file system.
func emptyFolder(fd int) error {
	folder, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	list := os.NewFile(uintptr(folder), "folder")
	defer list.Close()
	names, err := list.Readdirnames(-1)
	if err != nil {
		return err
	}
	errs := make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Go(func() { errs[i] = deleteEntry(fd, name) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func deleteEntry(fd int, name string) error {
	err := unix.Unlinkat(fd, name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	child, err := unix.Openat2(fd, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH})
	if err != nil {
		return err
	}
	defer unix.Close(child)
	return errors.Join(emptyFolder(child), unix.Unlinkat(fd, name, unix.AT_REMOVEDIR))
}

// execute becomes the new init, in the state in which the kernel starts one.
// Handlers go with the exec, but ignored signals and this thread's mask would
// stay; the limit of open files, which the Go runtime raised at its start, is
// set back by syscall.Exec.
func execute(console *os.File, argv, env []string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for fd := range 3 {
		if err := unix.Dup3(int(console.Fd()), fd, 0); err != nil {
			return fmt.Errorf("console on descriptor %d: %w", fd, err)
		}
	}
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	unix.Umask(0o022)
	stopIgnoring()
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return fmt.Errorf("signal mask: %w", err)
	}
	return syscall.Exec(argv[0], argv, env)
}

// stopIgnoring sets each ignored signal to its default. The kernel's struct
// begins with the handler, and its set of signals has 8 bytes.
func stopIgnoring() {
	const ignore = 1
	for signal := 1; signal <= 64; signal++ {
		var action, byDefault [4]uint64
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signal), 0, uintptr(unsafe.Pointer(&action)), 8, 0, 0)
		if errno == 0 && action[0] == ignore {
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
		}
	}
}
