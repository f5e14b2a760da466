package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudoTerminal is a console of ours and the hands and eyes at its far end.
func pseudoTerminal(t *testing.T) (Terminal, *os.File) {
	t.Helper()
	hands, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hands.Close() })
	raw, err := hands.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number uint32
	if controlled := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	}); controlled != nil || err != nil {
		t.Fatal(controlled, err)
	}
	console, err := OpenTerminal(fmt.Sprintf("pts/%d", number))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { console.Close() })
	return console, hands
}

func typeKeys(t *testing.T, hands *os.File, keys string) {
	t.Helper()
	if _, err := hands.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// watch reads until text is shown.
func watch(t *testing.T, eyes *os.File, text string) {
	t.Helper()
	_ = eyes.SetReadDeadline(time.Now().Add(20 * time.Second))
	var seen strings.Builder
	var b [1024]byte
	for !strings.Contains(seen.String(), text) {
		n, err := eyes.Read(b[:])
		seen.Write(b[:n])
		if err != nil {
			t.Fatalf("waiting for %q: %v; seen %q", text, err, seen.String())
		}
	}
}

func TestAnyKeyIsAKey(t *testing.T) {
	for _, tt := range []struct{ name, keys string }{
		{"a letter without Enter", "x"},
		{"Enter", "\r"},
		{"Ctrl-C", "\x03"},
		{"Ctrl-D", "\x04"},
		{"an arrow", "\x1b[A"},
		{"a key after noise", "\x00\x00x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			console, hands := pseudoTerminal(t)
			typeKeys(t, hands, tt.keys) // a fast hand: nobody waits for it yet
			pressed := make(chan error, 1)
			go func() { pressed <- console.Key(t.Context()) }()
			select {
			case err := <-pressed:
				if err != nil {
					t.Errorf("got %v, want a key", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the key was not seen")
			}
		})
	}
}

func TestNoiseOnTheLineIsNoKey(t *testing.T) {
	console, hands := pseudoTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	time.AfterFunc(50*time.Millisecond, func() { _, _ = hands.Write([]byte{0}) })
	if err := console.Key(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the time", err)
	}
}

func TestStoppedLineDoesNotStopTheBoot(t *testing.T) {
	console, _ := pseudoTerminal(t)
	begun := time.Now()
	// More than a pseudo terminal that nobody reads takes.
	n, err := console.Write([]byte(strings.Repeat("psyopsOS\n", 100_000)))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d, %v, want the end of the patience", n, err)
	}
	if took := time.Since(begun); took > 5*writePatience {
		t.Errorf("gave up after %v, want about %v", took, writePatience)
	}
}

// start runs a script as the shell and returns its end.
func start(ctx context.Context, console Terminal, script string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ended <- console.Shell(ctx, []string{"/bin/sh", "-c", script}, []string{"PATH=/bin:/usr/bin"})
	}()
	return ended
}

func wants(t *testing.T, ended <-chan error, want error) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the shell did not end")
	}
}

func TestShellHasItsOwnSessionAndTerminal(t *testing.T) {
	console, hands := pseudoTerminal(t)
	// Field 6 is the session, 7 the controlling terminal (0 for none).
	ended := start(t.Context(), console, `read pid comm state ppid pgrp session tty rest </proc/$$/stat
		[ $session = $$ ] && [ $pgrp = $$ ] && [ $tty != 0 ] && echo it''s mine >/dev/tty; exit 3`)
	watch(t, hands, "its mine")
	wants(t, ended, nil)
}

func TestCtrlCEndsTheProgramInTheForeground(t *testing.T) {
	// nohup and a shell's & have these tests started with SIGINT ignored, which
	// programs would inherit.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	console, hands := pseudoTerminal(t)
	// As our sh: the signal is taken, and programs start with its default.
	ended := start(t.Context(), console, `trap : INT; echo rea''dy; sleep 600; echo sta''tus $?`)
	watch(t, hands, "ready")
	// Again until it is seen: the first may come before sleep has begun.
	typing := time.NewTicker(200 * time.Millisecond)
	defer typing.Stop()
	seen := make(chan struct{})
	go func() {
		for {
			select {
			case <-seen:
				return
			case <-typing.C:
				_, _ = hands.Write([]byte("\x03"))
			}
		}
	}()
	watch(t, hands, "status 130")
	close(seen)
	wants(t, ended, nil)
}

func TestEndOfTheContextEndsTheShell(t *testing.T) {
	console, hands := pseudoTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := start(ctx, console, `trap "" TERM HUP INT; echo rea''dy; sleep 600`)
	watch(t, hands, "ready")
	cancel()
	wants(t, ended, context.Canceled)
}

func TestProgramThatIsNotThere(t *testing.T) {
	console, _ := pseudoTerminal(t)
	if err := console.Shell(t.Context(), []string{"/nowhere/sh"}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}

// PID 1 is the parent of the shell's orphans; here the test is.
func TestOrphansOfTheShellAreEndedAndReaped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	// Somebody else's child, ended and not yet waited for.
	other, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	console, hands := pseudoTerminal(t)
	ended := start(t.Context(), console, `trap "" HUP; (sleep 600 & echo sleep''er $!); (true &); sleep 0.2`)
	watch(t, hands, "sleeper ")
	wants(t, ended, nil)
	if _, err := other.Wait(); err != nil {
		t.Errorf("somebody else's child was taken: %v", err)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("children are left: got %d, %v, want none", pid, err)
	}
}
