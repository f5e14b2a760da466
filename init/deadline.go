package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"psyopsOS/boot"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/step"
	"psyopsOS/trial"
)

// startDeadline starts the process that ends a trial which nobody commits. A
// trial without it is still better than no boot: GRUB has counted it.
func (b *booting) startDeadline() {
	if b.onTrial() {
		b.warn("start the deadline", trial.StartCopy(trial.Name))
	}
}

func (b *booting) onTrial() bool { return b.c.Side != "" && b.c.Boot.IsTrial() }

// tellTrial tells the deadline how far the boot is.
func (b *booting) tellTrial(p trial.Progress) {
	if b.onTrial() {
		b.warn("tell the deadline", trial.Tell("/", p))
	}
}

// trialSink tells the deadline each step, and the release once that is known.
// What cannot be told here is only missing from its reason.
func (b *booting) trialSink() step.Sink {
	if !b.onTrial() {
		return func(step.Event) {}
	}
	var steps trial.Steps
	return func(e step.Event) {
		if p, news := steps.Heard(e); news {
			_ = trial.Tell("/", p)
		}
	}
}

// deadline is that process: package trial. It reads what it needs from the
// kernel's command line, as PID 1 does.
func deadline() int {
	outliveSignals()
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return 1
	}
	c, _ := boot.ParseCmdline(strings.TrimSpace(string(line)))
	if c.Side == "" || !c.Boot.IsTrial() {
		fmt.Fprintln(os.Stderr, trial.Name+": this boot is no trial: nothing done")
		return 1
	}
	world, err := trial.NewKernel(c)
	if err != nil {
		return 1
	}
	defer trial.Protect(trial.Name, layout.DeadlinePID)()
	everybody := step.Lines(consoles{}, "psyopsOS ", step.Quiet) // failures and warnings
	tell := step.Tee(step.Lines(openKmsg(), "psyopsOS: ", step.Normal), eventsTo(c.Events), everybody)
	if err := (trial.Deadline{Limit: c.Deadline, Tell: tell, World: world}).Run(context.Background()); err != nil {
		return 1
	}
	return 0
}

// restartAfter restarts the machine when a shutdown takes too long: what
// `neuralupgrade reboot` leaves behind. A shutdown that works ends it.
func restartAfter(args []string) int {
	if len(args) != 1 {
		return 1
	}
	most, err := time.ParseDuration(args[0])
	if err != nil {
		return 1
	}
	outliveSignals()
	defer trial.Protect(trial.RestartName, layout.RestartPID)()
	time.Sleep(most)
	fmt.Fprintf(consoles{}, "psyopsOS: the shutdown took longer than %v: the machine restarts without it\n", most)
	if err := trial.RestartNow(mounts.Linux{Root: "/"}); err != nil {
		return 1
	}
	return 0
}
