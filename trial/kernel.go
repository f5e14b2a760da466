package trial

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
)

// A Kernel is the World of a real machine.
type Kernel struct {
	storage mounts.Linux
	cmdline boot.Cmdline
	proc    *os.File // /proc, which moves along at the hand-over
}

// NewKernel is the machine that was booted with this command line.
func NewKernel(c boot.Cmdline) (*Kernel, error) {
	proc, err := os.Open("/proc")
	return &Kernel{mounts.Linux{Root: "/"}, c, proc}, err
}

// Now is the time since the kernel started: the clock may be set meanwhile.
func (k *Kernel) Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Pause sleeps.
func (k *Kernel) Pause(d time.Duration) { time.Sleep(d) }

// Told is the trial's progress.
func (k *Kernel) Told() Progress { return Told("/") }

// Follow changes to PID 1's root once that is another one. The old root is
// then empty, and no mount is to be seen from it.
func (k *Kernel) Follow() bool {
	fd, err := unix.Openat(int(k.proc.Fd()), "1/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var theirs, ours unix.Stat_t
	if unix.Fstat(fd, &theirs) != nil || unix.Stat("/", &ours) != nil || theirs.Dev == ours.Dev && theirs.Ino == ours.Ino {
		return false
	}
	return unix.Fchdir(fd) == nil && unix.Chroot(".") == nil
}

// Watchdog arms the machine's watchdog, once its driver is there.
func (k *Kernel) Watchdog() Watchdog {
	if d := openWatchdog(); d != nil {
		return d
	}
	return nil
}

// Committed waits until no neuralupgrade is at work, and reads the state.
func (k *Kernel) Committed(ctx context.Context) bool {
	if lock, err := os.Open(filepath.Join("/", layout.UpgradeLock)); err == nil {
		defer lock.Close()
		for ctx.Err() == nil && unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
	s, err := boot.ReadLoaderState(k.storage, k.cmdline)
	return err == nil && s.State.Good == k.cmdline.Side
}

// Record writes FAIL.ENV, unless the trial was given up by hand.
func (k *Kernel) Record(reason string) error {
	s, err := boot.ReadLoaderState(k.storage, k.cmdline)
	if err != nil {
		return err
	}
	fail := bootstate.Fail{Side: k.cmdline.Side, Version: k.release(), Stage: stepName, Reason: reason, Seq: s.State.Seq}
	blame := boot.Answer{Blame: s.State.Try == k.cmdline.Side}
	return s.Record(blame, fail, func(path string) (boot.StateDevice, error) { return bootstate.OpenDirect(path, true) })
}

// Restart restarts the machine.
func (k *Kernel) Restart() error { return RestartNow(k.storage) }

// release is the version that runs, as far as init got to know it.
func (k *Kernel) release() string {
	if r, err := boot.ReadReport("/"); err == nil {
		version, _ := r.Facts["release"].(string)
		return version
	}
	return k.Told().Release
}
