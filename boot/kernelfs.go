package boot

import (
	"errors"
	"fmt"
	"os"

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
