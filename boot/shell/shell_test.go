package shell_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"psyopsOS/boot/shell"
	"psyopsOS/boot/shell/shelltest"
	"psyopsOS/step"
)

// machine is one with a screen and a serial line.
type machine struct {
	screen, serial *shelltest.Terminal
	o              shell.Options
	timeout        chan time.Time
	asked          time.Duration // of the clock
}

func newMachine() *machine {
	m := &machine{
		screen:  &shelltest.Terminal{Console: "tty1"},
		serial:  &shelltest.Terminal{Console: "ttyS0"},
		timeout: make(chan time.Time, 1),
	}
	m.o = shell.Options{
		Sysfs:  shelltest.Sysfs("tty1", "ttyS0"),
		Banner: "the banner\n",
		Open: func(name string) (shell.Terminal, error) {
			switch name {
			case "tty1":
				return m.screen, nil
			case "ttyS0":
				return m.serial, nil
			}
			return nil, fs.ErrNotExist
		},
		Clock: func(d time.Duration) <-chan time.Time { m.asked = d; return m.timeout },
	}
	return m
}

func pressed() <-chan struct{} {
	c := make(chan struct{}, 1)
	c <- struct{}{}
	return c
}

// The bubble ends when each of its goroutines has, and fails if one never does.
func TestOfferGoesToEveryConsoleAndTheFirstKeyWins(t *testing.T) {
	synctest.Test(t, testFirstKeyWins)
}

func testFirstKeyWins(t *testing.T) {
	m := newMachine()
	m.serial.Pressed = pressed()
	got, err := shell.Run(t.Context(), m.o)
	if got != shell.Left || err != nil {
		t.Fatalf("outcome: got %v, %v, want left", got, err)
	}
	wantSerial := "the banner\nPress any key for a shell here. Untouched, the machine restarts in 10 min.\n" +
		"\n`help` lists the programs, `exit` leaves the shell.\n"
	if got := m.serial.Shown(); got != wantSerial {
		t.Errorf("serial line shows %q, want %q", got, wantSerial)
	}
	wantScreen := "the banner\nPress any key for a shell here. Untouched, the machine restarts in 10 min.\n" +
		"\nThe shell runs on ttyS0.\n\nThe shell on ttyS0 was left.\n"
	if got := m.screen.Shown(); got != wantScreen {
		t.Errorf("screen shows %q, want %q", got, wantScreen)
	}
	if m.screen.Ran != nil || !slices.Equal(m.serial.Ran, []string{shell.Program}) {
		t.Errorf("ran %v on the screen and %v on the serial line, want %s on the latter alone", m.screen.Ran, m.serial.Ran, shell.Program)
	}
	if !m.screen.Closed || !m.serial.Closed {
		t.Error("a console was not closed")
	}
}

func TestEnvironmentOfTheShell(t *testing.T) {
	for _, tt := range []struct{ name, console, want string }{
		{"a screen is Linux's own", "tty1", "linux"},
		{"a serial line ends at some terminal", "ttyS0", "vt100"},
		{"a hypervisor's console too", "hvc0", "vt100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			terminal := &shelltest.Terminal{Console: tt.console, Pressed: pressed()}
			_, err := shell.Run(t.Context(), shell.Options{
				Sysfs:    shelltest.Sysfs(tt.console),
				Open:     func(string) (shell.Terminal, error) { return terminal, nil },
				Clock:    time.After,
				Patience: time.Hour, Idle: 90 * time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"PATH=/bbin:/bin", "HOME=/", "TERM=" + tt.want, "PS1=psyopsOS initramfs# ", "TMOUT=90"}
			if !slices.Equal(terminal.Env, want) {
				t.Errorf("got %q, want %q", terminal.Env, want)
			}
			if !strings.Contains(terminal.Shown(), "restarts in 60 min.") {
				t.Errorf("shown %q: want the settable time", terminal.Shown())
			}
		})
	}
}

func TestUntouchedAfterThePatience(t *testing.T) {
	m := newMachine()
	m.timeout <- time.Time{}
	got, err := shell.Run(t.Context(), m.o)
	if got != shell.Untouched || err != nil {
		t.Errorf("outcome: got %v, %v, want untouched", got, err)
	}
	if m.asked != 10*time.Minute {
		t.Errorf("patience: got %v, want 10 minutes", m.asked)
	}
	if m.screen.Ran != nil || m.serial.Ran != nil {
		t.Error("a shell ran")
	}
}

func TestConsoleThatCannotBeReadIsLeftOut(t *testing.T) {
	m := newMachine()
	m.screen.KeyErr = errors.New("input/output error")
	m.serial.Pressed = pressed()
	if got, err := shell.Run(t.Context(), m.o); got != shell.Left || err != nil {
		t.Errorf("outcome: got %v, %v, want left", got, err)
	}
	if m.serial.Ran == nil {
		t.Error("no shell on the console that can be read")
	}
}

func TestConsoleThatCannotBeOpenedIsLeftOut(t *testing.T) {
	m := newMachine()
	m.o.Sysfs = shelltest.Sysfs("gone0", "ttyS0")
	m.serial.Pressed = pressed()
	if got, err := shell.Run(t.Context(), m.o); got != shell.Left || err != nil {
		t.Errorf("outcome: got %v, %v, want left", got, err)
	}
}

func TestWithoutAnyConsoleItSaysWhy(t *testing.T) {
	m := newMachine()
	m.o.Sysfs = shelltest.Sysfs("gone0")
	_, err := shell.Run(t.Context(), m.o)
	if err == nil || !strings.Contains(err.Error(), "no console") || !strings.Contains(err.Error(), "gone0") {
		t.Errorf("error: got %v, want one that names the console", err)
	}
}

func TestInitramfsWithoutAShellSaysWhy(t *testing.T) {
	m := newMachine()
	m.serial.Pressed, m.serial.ShellErr = pressed(), fs.ErrNotExist
	got, err := shell.Run(t.Context(), m.o)
	if got != shell.Untouched || !errors.Is(err, fs.ErrNotExist) || step.HintOf(err) == "" {
		t.Errorf("got %v, %v, hint %q, want untouched and why", got, err, step.HintOf(err))
	}
}

func TestEndOfTheContextEndsTheOffer(t *testing.T) {
	m := newMachine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := shell.Run(ctx, m.o); got != shell.Untouched || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v, want untouched, canceled", got, err)
	}
}

func TestConsoles(t *testing.T) {
	tests := []struct {
		name, active, screen string
		want                 []string
	}{
		{"screen and serial line", "tty0 ttyS0\n", "tty3\n", []string{"tty3", "ttyS0"}},
		{"kernel without a screen", "ttyS0\n", "", []string{"ttyS0"}},
		{"the screen in the foreground is unknown", "tty0 ttyS0\n", "", []string{"tty0", "ttyS0"}},
		{"named twice", "tty0 tty1\n", "tty1\n", []string{"tty1"}},
		{"a name that is a path", "../sda ttyS0\n", "", []string{"ttyS0"}},
		{"none", "\n", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sysfs := shelltest.Sysfs(strings.Fields(tt.active)...)
			if tt.screen != "" {
				sysfs["class/tty/tty0/active"] = shelltest.Sysfs(strings.TrimSpace(tt.screen))["class/tty/console/active"]
			}
			if got := shell.Consoles(sysfs); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
