package trial

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/mounts"
)

// Bounds of what a restart waits for, because a disk or a driver hangs.
const (
	syncMost    = 10 * time.Second
	restartMost = 30 * time.Second
)

// RestartNow restarts the machine without the help of its userland, which may
// be what is broken: disks are written out and made read-only, as far as they
// answer in time.
func RestartNow(storage mounts.System) error {
	within(syncMost, unix.Sync)
	within(syncMost, func() { _ = remountReadOnly(storage) })
	// reboot(2) first asks every driver to shut down, and one may never answer.
	go func() {
		time.Sleep(restartMost)
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
	}()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// within does something for so long at most.
func within(most time.Duration, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(most):
	}
}

// remountReadOnly makes every disk that is mounted read-only, so that its file
// system is left as after an unmount.
func remountReadOnly(storage mounts.System) error {
	points, err := storage.Mounts()
	for _, p := range points {
		if strings.HasPrefix(p.Source, "/dev/") && !strings.HasPrefix(p.SuperOptions+",", "ro,") {
			err = errors.Join(err, unix.Mount("", p.Path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		}
	}
	return err
}
