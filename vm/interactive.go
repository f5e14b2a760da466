package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// HowToLeave says what Interactive's user must know.
const HowToLeave = "Ctrl-A X leaves the virtual machine, Ctrl-C goes to the guest"

// A Terminal is what Interactive connects to the guest's console.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
}

// Interactive runs m with its console in the terminal and returns when the
// guest has powered off or the user has left. QEMU puts the terminal into raw
// mode and back; when ctx ends it is asked to go first, so that it can.
func Interactive(ctx context.Context, m Machine, dir string, t Terminal) error {
	var now present
	args, err := now.args(m, dir, terminal)
	if err != nil {
		return err
	}
	m = m.WithDefaults()
	if err := prepare(m, dir); err != nil {
		return fmt.Errorf("prepare the virtual machine: %w", err)
	}
	for {
		told, err := inTerminal(ctx, m.Binary, args, t)
		if err != nil {
			if ctx.Err() != nil {
				err = errors.Join(context.Cause(ctx), err)
			}
			return fmt.Errorf("run %s: %w", m.Binary, missing(err))
		}
		if !now.startsAnew(m, told) {
			return nil
		}
		if args, err = now.args(m, dir, terminal); err != nil {
			return err
		}
	}
}

// inTerminal is one run of QEMU, and what it told on its monitor.
func inTerminal(ctx context.Context, binary string, args []string, t Terminal) (told []QMPEvent, err error) {
	ours, theirs, err := socketPair("qmp")
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = t.In, t.Out, t.Err, []*os.File{theirs}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return nil, err
	}
	monitor := newMonitor()
	monitor.attach(ours)
	_, _ = monitor.send("qmp_capabilities", nil) // without it nothing is told
	monitor.read(ours)
	return monitor.seen(), cmd.Wait()
}
