// Command init is PID 1 of psyopsOS's initramfs and, by the name
// neuralupgrade, the updater on the running node. One binary, because both
// know the same formats, and a node should hold each piece of code once.
//
// As PID 1 it obeys the kernel command line (docs/boot.md lists the words),
// reads the side that psyopsos= names, and hands over to that release's
// OpenRC. `boot.Steps` is the story.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"psyopsOS/mounts"
	"psyopsOS/trial"
	"psyopsOS/upgrade"
)

// commit is set by the linker.
var commit = "unknown"

func main() {
	name := filepath.Base(os.Args[0])
	switch {
	case os.Getpid() == 1:
		pid1()
	case name == trial.Name:
		os.Exit(deadline())
	case name == trial.RestartName:
		os.Exit(restartAfter(os.Args[1:]))
	case name == "init":
		fmt.Fprintf(os.Stderr, "init: this is process %d, not PID 1 of an initramfs: nothing done\n"+
			"hint: it is started by the kernel; the updater is the same program by the name neuralupgrade\n", os.Getpid())
		os.Exit(1)
	case name == "blkid":
		os.Exit(blkid(os.Stdout, os.Stderr, mounts.Linux{Root: "/"}, os.Args[1:]))
	default:
		// The first Ctrl-C ends what runs in order, the second one at once.
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
		context.AfterFunc(ctx, stop)
		os.Exit(upgrade.Main(ctx, upgrade.Env{Stdout: os.Stdout, Stderr: os.Stderr, Root: "/", Commit: commit}, os.Args[1:]))
	}
}
