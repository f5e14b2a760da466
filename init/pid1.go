package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/boot"
	"psyopsOS/mounts"
	"psyopsOS/netif"
	"psyopsOS/release"
	"psyopsOS/step"
)

// pid1 is the boot. It never returns and never panics: either would be a
// kernel panic.
func pid1() {
	outliveSignals()
	// The tables of a generic kernel's modules make some 10 MB of garbage:
	// collecting it at 4 took 30 ms, and all of it goes with the hand-over.
	debug.SetGCPercent(400)
	b := &booting{}
	err := step.Guard(b.run)
	b.story.flush()
	fmt.Fprintf(consoles{}, "psyopsOS: the boot ended: %v\n", err)
	fmt.Fprintln(os.Stderr, "psyopsOS: the boot ended:", err) // where there are no consoles
	end(boot.Restart, 10*time.Second)
}

// booting is one boot, from the kernel's hand-over to ours.
type booting struct {
	c       boot.Cmdline
	machine boot.Machine
	story   story
}

// run comes back only where not even a failure could be handled.
func (b *booting) run() error {
	storage := mounts.Linux{Root: "/"}
	if err := boot.MountKernelFilesystems(storage); err != nil {
		return err
	}
	hurried := boot.HurryGracePeriods("/", true)
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	var unbootable error
	b.c, unbootable = boot.ParseCmdline(strings.TrimSpace(string(line)))
	b.story.others = func() step.Sink {
		return step.Tee(step.Lines(openKmsg(), "psyopsOS: ", step.Normal), eventsTo(b.c.Events),
			step.Lines(&heldConsoles{}, "psyopsOS ", verbosity(b.c)), faultySink(b.c.Line), b.trialSink())
	}
	runner := &step.Runner{Sink: b.story.tell, Now: sinceBoot, OnFailure: b.onFailure}
	b.startDeadline()
	b.warn("hurry the kernel's grace periods", hurried)
	ctx := context.Background()
	if err := runner.Run(ctx, step.Step{Name: "look at this machine", Do: func(context.Context, *step.Reporter) (err error) {
		if b.machine, err = b.realMachine(storage); unbootable != nil {
			return unbootable
		}
		return err
	}}); err != nil {
		return err
	}
	if err := runner.Run(ctx, faulty(b.c.Line, boot.Steps(b.c, b.machine)...)...); err != nil {
		return err
	}
	return runner.Run(ctx, faulty(b.c.Line, boot.Handover(b.c, b.machine, b.lastWords))...)
}

// lastWords is what has to be out before another program is PID 1.
func (b *booting) lastWords() error {
	b.warn("end the hurry", boot.HurryGracePeriods("/", false))
	err := b.writeReport()
	b.story.flush()
	return err
}

func (b *booting) writeReport() error {
	return boot.NewReport(b.c, commit, b.story.events()).Write("/")
}

// realMachine is the machine that runs this.
func (b *booting) realMachine(storage mounts.Linux) (boot.Machine, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return boot.Machine{}, err
	}
	m := boot.Machine{
		Storage:  storage,
		Modules:  boot.LinuxModules{Root: "/"},
		Links:    netif.Linux{Root: "/"},
		Kernel:   unix.ByteSliceToString(name.Release[:]),
		Handover: func(plan mounts.HandoverPlan) error { return mounts.Handover(storage, plan) },
		Shell:    b.shellAsked,
		Keys:     func() (release.Keys, error) { return release.ReadKeys(os.DirFS("/")) },
		Root:     "/",
	}
	return m, nil
}

// sinceBoot is the time since the kernel started: there may be no clock yet.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func verbosity(c boot.Cmdline) step.Verbosity {
	switch {
	case c.DebugInit:
		return step.Verbose
	case c.Quiet:
		return step.Quiet
	}
	return step.Normal
}

// eventsTo is the sink of psyopsos.events=: JSON lines to a device that nobody
// else uses. Without the word no device is touched.
func eventsTo(device string) step.Sink {
	if device == "" {
		return func(step.Event) {}
	}
	t, err := openTTY(device)
	if err != nil {
		return func(step.Event) {}
	}
	return step.JSONLines(t)
}
