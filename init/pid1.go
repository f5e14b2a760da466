package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/boot"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

const noctty = unix.O_NOCTTY | unix.O_NONBLOCK

// pid1 is the boot. It never returns and never panics: either would be a
// kernel panic.
func pid1() {
	var out io.Writer = os.Stderr // the kernel gives PID 1 /dev/console
	err := step.Guard(func() error { return bootOnce(&out) })
	fmt.Fprintf(out, "psyopsOS: the boot ended: %v\n", err)
	restart(out)
}

// bootOnce goes from the kernel's hand-over to ours. It returns only on
// failure.
func bootOnce(out *io.Writer) error {
	if err := boot.MountKernelFilesystems(mounts.Linux{Root: "/"}); err != nil {
		return err
	}
	all := openConsoles()
	*out = all
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	c, err := boot.ParseCmdline(strings.TrimSpace(string(line)))
	if err != nil {
		return err
	}
	recorder := &step.Recorder{}
	sink := step.Tee(
		recorder.Record,
		step.Lines(openKmsg(), "psyopsOS: ", step.Normal),
		events(c.Events),
		step.Lines(all, "psyopsOS ", verbosity(c)))
	ctx := context.Background()
	machine, err := realMachine()
	if err != nil {
		return err
	}
	report := func() error { return boot.NewReport(c, commit, recorder.Events).Write(machine.Root) }
	runner := &step.Runner{Sink: sink, Now: sinceBoot}
	err = runner.Run(ctx, boot.Steps(c, machine)...)
	if err == nil {
		err = runner.Run(ctx, boot.Handover(c, machine, report))
	}
	return errors.Join(err, report())
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

// events is the sink of psyopsos.events=: JSON lines to a device that nobody
// else uses. Without the word no device is touched.
func events(device string) step.Sink {
	if device == "" {
		return func(step.Event) {}
	}
	if !strings.HasPrefix(device, "/") {
		device = "/dev/" + device
	}
	f, err := os.OpenFile(device, os.O_WRONLY|noctty, 0)
	if err != nil {
		return func(step.Event) {}
	}
	return step.JSONLines(consoles{f})
}

// restart ends a boot that failed: the firmware and the boot loader try again,
// after a delay in which a person can read why.
func restart(out io.Writer) {
	const delay = 10 * time.Second
	fmt.Fprintf(out, "psyopsOS: restart in %v\n", delay)
	time.Sleep(delay)
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	fmt.Fprintf(out, "psyopsOS: restart: %v; switch the machine off and on\n", err)
	for {
		time.Sleep(time.Hour)
	}
}

// realMachine is the machine that runs this.
func realMachine() (boot.Machine, error) {
	keys, err := release.ReadKeys(os.DirFS("/"))
	if err != nil {
		return boot.Machine{}, err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return boot.Machine{}, err
	}
	storage := mounts.Linux{Root: "/"}
	return boot.Machine{
		Storage: storage,
		Modules: boot.LinuxModules{Root: "/"},
		Keys:    keys,
		Kernel:  unix.ByteSliceToString(name.Release[:]),
		Handover: func(plan mounts.HandoverPlan) error {
			return mounts.Handover(storage, plan)
		},
		Root: "/",
	}, nil
}
