package main

import (
	"errors"
	"io"
	"os"
	"slices"
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

// heldConsoles writes to every console like consoles, and keeps them open in
// between: finding and opening them took twice as long as writing a line, for
// each of the forty lines of a boot. One that was hung up is opened anew.
type heldConsoles struct {
	names  []string
	held   []tty // of names; the zero tty where it cannot be opened
	looked time.Time
}

// newConsolesWithin is how soon a console that the kernel took into use
// meanwhile is told too.
const newConsolesWithin = time.Second

func (h *heldConsoles) Write(p []byte) (int, error) {
	if time.Since(h.looked) > newConsolesWithin {
		h.look()
	}
	for i, t := range h.held {
		if _, err := t.Write(p); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		_ = t.Close()
		if h.held[i], _ = openTTY("/dev/" + h.names[i]); h.held[i].File != nil {
			_, _ = h.held[i].Write(p)
		}
	}
	return len(p), nil
}

func (h *heldConsoles) look() {
	h.looked = time.Now()
	names := shell.Consoles(os.DirFS("/sys"))
	if slices.Equal(names, h.names) {
		return
	}
	for _, t := range h.held {
		_ = t.Close()
	}
	h.names, h.held = names, make([]tty, len(names))
	for i, name := range names {
		h.held[i], _ = openTTY("/dev/" + name)
	}
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
