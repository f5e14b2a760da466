package main

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/boot/shell"
)

// consoles writes to every console that the kernel uses, not only to the last
// one of the command line, which is all that /dev/console is. It opens them
// anew each time: when the emergency shell ends, the kernel hangs up its
// console, and a descriptor from before is dead.
type consoles struct{}

func (consoles) Write(p []byte) (int, error) {
	for _, name := range shell.Consoles(os.DirFS("/sys")) {
		if f, err := openTTY("/dev/" + name); err == nil {
			_, _ = f.Write(p)
			_ = f.Close()
		}
	}
	return len(p), nil
}

// A tty is a device that must not stop the boot: neither by becoming the
// controlling terminal nor by a line that does not take what is written.
type tty struct{ *os.File }

// patience bounds a write.
const patience = time.Second

func openTTY(path string) (tty, error) {
	// O_NONBLOCK makes SetWriteDeadline work.
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return tty{}, err
	}
	startLine(f)
	return tty{f}, nil
}

// startLine takes Ctrl-S its meaning, which also starts a line that one has
// stopped: noise on a serial line would cost every message its patience. The
// emergency shell and getty make settings of their own.
func startLine(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil || t.Iflag&unix.IXON == 0 {
			return // no terminal, or nothing to do
		}
		t.Iflag &^= unix.IXON
		_ = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
}

func (t tty) Write(p []byte) (int, error) {
	_ = t.SetWriteDeadline(time.Now().Add(patience))
	return t.File.Write(p)
}

// kmsg writes to the kernel's log, where dmesg and a later syslog find it. The
// level is debug, so that the kernel does not print on the consoles what
// consoles has written there.
type kmsg struct{ w io.Writer }

func openKmsg() kmsg {
	// Without this the kernel drops all but ten lines in five seconds.
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0)
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return kmsg{io.Discard}
	}
	return kmsg{f}
}

func (k kmsg) Write(p []byte) (int, error) {
	_, _ = k.w.Write(append([]byte("<7>"), p...))
	return len(p), nil
}
