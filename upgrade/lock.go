package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// lockFile is held by whoever changes a side or the boot loader's state, and
// names its process. The kernel lets go of it when the process ends, however
// it does.
const lockFile = layout.UpgradeLock

const lockPause = 100 * time.Millisecond

// locked does something while no other process does. It waits so long for one
// that is at work.
func locked(e Env, patience time.Duration, do func() error) (err error) {
	if e.lock != "" {
		return lockedImage(e.lock, do)
	}
	name, f, err := openLock(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for waited := time.Duration(0); ; waited += lockPause {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || waited >= patience {
			break
		}
		time.Sleep(lockPause)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, _ := readBounded(name, 32)
		return step.WithHint(fmt.Errorf("another neuralupgrade is at work: process %s", strings.TrimSpace(string(pid))), "wait until it is done")
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return err
	}
	return do()
}

// openLock opens the lock file. Who may not write into /run is no node's root,
// and can do no more than work on folders and files of their own: their lock is
// their own too.
func openLock(e Env) (name string, f *os.File, err error) {
	name = filepath.Join(e.Root, lockFile)
	err = os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	}
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		name = filepath.Join(os.TempDir(), fmt.Sprintf("neuralupgrade-%d.lock", os.Geteuid()))
		f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	}
	return name, f, err
}

// lockedImage is locked for a disk in a file, which is itself the lock.
func lockedImage(name string, do func() error) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return step.WithHint(fmt.Errorf("lock %s: %w", name, err), "is another neuralupgrade, or a virtual machine, at work on it?")
	}
	return do()
}
