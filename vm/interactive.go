package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	args, err := TerminalArgs(m, dir)
	if err != nil {
		return err
	}
	m = m.WithDefaults()
	if err := prepare(m, dir); err != nil {
		return fmt.Errorf("prepare the virtual machine: %w", err)
	}
	cmd := exec.CommandContext(ctx, m.Binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.In, t.Out, t.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return fmt.Errorf("run %s: %w", m.Binary, missing(err))
	}
	return nil
}
