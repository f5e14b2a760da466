package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"psyopsOS/mounts"
)

// MountKernelFilesystems mounts what everything else looks into, as Alpine's
// init does: OpenRC finds them there after the hand-over.
func MountKernelFilesystems(storage mounts.System) error {
	const hardened = mounts.NoSUID | mounts.NoExec | mounts.NoDev
	for _, m := range []mounts.Mount{
		{Source: "proc", Target: "/proc", Type: "proc", Flags: hardened},
		{Source: "sysfs", Target: "/sys", Type: "sysfs", Flags: hardened},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs", Flags: mounts.NoSUID, Data: "mode=0755"},
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Flags: mounts.NoSUID | mounts.NoExec, Data: "gid=5,mode=0620"},
		{Source: "shm", Target: "/dev/shm", Type: "tmpfs", Flags: hardened, Data: "mode=1777"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Flags: mounts.NoSUID | mounts.NoDev, Data: "mode=0755"},
	} {
		if err := storage.Mount(m); err != nil {
			return fmt.Errorf("%s: %w", m.Target, err)
		}
	}
	return standardLinks()
}

// standardLinks are the names under /dev that programs expect and the kernel
// does not make.
func standardLinks() error {
	var errs []error
	for name, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// gracePeriods is the kernel's switch for how it waits until all processors
// have forgotten what is taken away.
const gracePeriods = "/sys/kernel/rcu_expedited"

// HurryGracePeriods makes the kernel ask all processors at once, as it does
// itself until it starts PID 1, instead of waiting for them to come by: a dozen
// drivers, a link's new name and an unmounted disk each wait for that, 4 to 20
// ms. The new init gets the kernel as it would be without us: hurry is for a
// machine that does nothing else.
func HurryGracePeriods(root string, hurry bool) error {
	value := "0\n"
	if hurry {
		value = "1\n"
	}
	file, err := os.OpenFile(filepath.Join(root, gracePeriods), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a kernel for one processor
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
