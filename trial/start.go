package trial

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// The argv[0] of what StartCopy starts.
const (
	Name        = "psyopsos-deadline"
	RestartName = "psyopsos-restart" // its argument is how long a shutdown may take
)

// StartCopy starts our own binary by another name, from a copy in RAM and in a
// session of its own: neither the end of the initramfs nor a disk that is
// pulled out takes its code away.
func StartCopy(name string, args ...string) error {
	code, err := copyOfSelf(name)
	if err != nil {
		return fmt.Errorf("copy our binary to RAM: %w", err)
	}
	defer code.Close()
	cmd := exec.Command("/proc/self/fd/3", args...)
	cmd.Args[0] = name
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.ExtraFiles = []*os.File{code}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// Protect makes this process hard to end: no signal that can be handled, not
// the kernel's want of memory, and not the shutdown service killprocs, which is
// told by the file (see the userlands' /etc/conf.d/killprocs). The returned
// function removes the file.
func Protect(name, pidFile string) func() {
	// Without this its short name is that of the descriptor that it runs from.
	_ = os.WriteFile("/proc/self/comm", []byte(name), 0)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	_ = os.WriteFile(pidFile, fmt.Appendln(nil, os.Getpid()), 0o644)
	return func() { _ = os.Remove(pidFile) }
}

func copyOfSelf(name string) (*os.File, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer self.Close()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// The kernel executes no file that is open for writing.
	memory := os.NewFile(uintptr(fd), name)
	defer memory.Close()
	if _, err := io.Copy(memory, self); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}
