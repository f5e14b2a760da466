package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// deadly are the signals at which the Go runtime ends a program by itself. The
// kernel protects PID 1 only from what PID 1 does not handle, and the runtime
// handles all: `kill 1` in the emergency shell would be a kernel panic.
func deadly() []os.Signal {
	return []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGPIPE,
		unix.SIGABRT, unix.SIGSTKFLT, unix.SIGSYS, unix.SIGTRAP, unix.SIGILL, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV}
}

// outliveSignals takes the deadly signals and does nothing for them. They are
// taken and not ignored: what is ignored stays so in the programs that are
// started, the emergency shell and the new init.
func outliveSignals() {
	signal.Notify(make(chan os.Signal, 1), deadly()...)
}
