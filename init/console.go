package main

import (
	"os"
	"strings"
	"time"
)

// consoles writes to every console that the kernel uses, not only to the last
// one of the command line, which is all that /dev/console is.
type consoles []*os.File

// patience bounds a write: a serial line that was stopped by a stray Ctrl-S
// must not stop a boot for ever.
const patience = time.Second

func openConsoles() consoles {
	names, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return nil
	}
	var cs consoles
	for _, name := range strings.Fields(string(names)) {
		// O_NONBLOCK makes SetWriteDeadline work on a tty.
		if f, err := os.OpenFile("/dev/"+name, os.O_WRONLY|noctty, 0); err == nil {
			cs = append(cs, f)
		}
	}
	return cs
}

func (cs consoles) Write(p []byte) (int, error) {
	for _, f := range cs {
		_ = f.SetWriteDeadline(time.Now().Add(patience))
		_, _ = f.Write(p)
	}
	return len(p), nil
}

// kmsg writes each line to the kernel's log, where dmesg and a later syslog
// find it. The level is debug, so that the kernel does not print on the
// consoles what consoles has written there.
type kmsg struct{ f *os.File }

func openKmsg() kmsg {
	// Without this the kernel drops all but ten lines in five seconds.
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0)
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return kmsg{}
	}
	return kmsg{f}
}

func (k kmsg) Write(p []byte) (int, error) {
	if k.f != nil {
		_, _ = k.f.WriteString("<7>" + string(p))
	}
	return len(p), nil
}
