// Package shelltest has the fake of boot/shell's one boundary: a console that
// is a pair of variables.
package shelltest

import (
	"context"
	"strings"
	"sync"
	"testing/fstest"
)

// A Terminal is a console in memory. Set its fields before it is used.
type Terminal struct {
	Console  string
	Pressed  <-chan struct{}                                     // a key a value; nil for a console without keyboard
	KeyErr   error                                               // of a console that cannot be read
	ShellErr error                                               // of a program that cannot be started
	OnShell  func(ctx context.Context, argv, env []string) error // what the program does; nil: it ends at once

	mu     sync.Mutex
	shown  strings.Builder
	Ran    []string // argv of the program that ran
	Env    []string
	Closed bool
}

// Name is t.Console.
func (t *Terminal) Name() string { return t.Console }

// Write keeps p for Shown.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown.Write(p)
}

// Shown is all that was written.
func (t *Terminal) Shown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown.String()
}

// Key waits for t.Pressed, unless there is t.KeyErr.
func (t *Terminal) Key(ctx context.Context) error {
	if t.KeyErr != nil {
		return t.KeyErr
	}
	select {
	case <-t.Pressed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Shell notes the program and lets t.OnShell play it.
func (t *Terminal) Shell(ctx context.Context, argv, env []string) error {
	if t.ShellErr != nil {
		return t.ShellErr
	}
	t.Ran, t.Env = argv, env
	if t.OnShell != nil {
		return t.OnShell(ctx, argv, env)
	}
	return nil
}

// Close notes that it was called.
func (t *Terminal) Close() error {
	t.Closed = true
	return nil
}

// Sysfs is a /sys whose kernel has these consoles.
func Sysfs(consoles ...string) fstest.MapFS {
	return fstest.MapFS{"class/tty/console/active": {Data: []byte(strings.Join(consoles, " ") + "\n")}}
}
