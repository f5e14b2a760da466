package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// A terminal runs what a person types.
type terminal struct {
	runner *interp.Runner
	prompt string
	wait   int    // milliseconds until a shell at which nobody types leaves; -1 for never
	ahead  []byte // read, but not yet by the parser

	mu      sync.Mutex
	stop    context.CancelFunc // ends the running statement; nil at the prompt
	dropped bool               // Ctrl-C at the prompt: forget the half statement
}

func newTerminal(runner *interp.Runner) *terminal {
	t := &terminal{runner: runner, prompt: os.Getenv("PS1"), wait: -1}
	if seconds, err := strconv.Atoi(os.Getenv("TMOUT")); err == nil && seconds > 0 {
		t.wait = seconds * 1000
	}
	if t.prompt == "" {
		t.prompt = "# "
	}
	return t
}

// errDropped ends the parsing of what was typed before Ctrl-C.
var errDropped = errors.New("dropped")

// interact reads and runs lines until `exit` or the end of the input.
func (t *terminal) interact() {
	// Not ignored, which programs would inherit, but taken.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		for range interrupts {
			t.interrupt()
		}
	}()
	fmt.Print(t.prompt)
	for {
		switch err := t.session(); {
		case err == nil:
			return
		case !errors.Is(err, errDropped):
			// What was typed is not shell language: drop it, ask again.
			fmt.Fprintln(os.Stderr, "sh:", err)
			fmt.Print(t.prompt)
		}
	}
}

// interrupt is Ctrl-C: the terminal has told the running program, and here a
// loop around it learns.
func (t *terminal) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Println()
	if t.stop != nil {
		t.stop()
		return
	}
	t.dropped = true
	fmt.Print(t.prompt)
}

// session runs lines until the input ends, with nil, or one is not shell
// language.
func (t *terminal) session() error {
	parser := syntax.NewParser()
	return parser.Interactive(t, func(statements []*syntax.Stmt) bool {
		if parser.Incomplete() {
			fmt.Print("> ")
			return true
		}
		for _, s := range statements {
			if err := t.run(s); err != nil {
				fmt.Fprintln(os.Stderr, "sh:", err)
				break
			}
			if t.runner.Exited() {
				return false
			}
		}
		fmt.Print(t.prompt)
		return true
	})
}

// Read gives the parser the next line, or errDropped in its stead when Ctrl-C
// came before it.
func (t *terminal) Read(p []byte) (int, error) {
	if len(t.ahead) > 0 {
		n := copy(p, t.ahead)
		t.ahead = t.ahead[n:]
		return n, nil
	}
	if !typed(t.wait) {
		fmt.Println("\nsh: nobody types: leaving")
		return 0, io.EOF
	}
	n, err := os.Stdin.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped && err == nil {
		t.dropped, t.ahead = false, append([]byte(nil), p[:n]...)
		return 0, errDropped
	}
	return n, err
}

// typed waits for a line, and is false when none came in time.
func typed(milliseconds int) bool {
	deadline := time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}}, milliseconds)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
		if milliseconds >= 0 {
			milliseconds = max(0, int(time.Until(deadline).Milliseconds()))
		}
	}
}

// run runs s until it ends or, at Ctrl-C, until its next command.
func (t *terminal) run(s *syntax.Stmt) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t.stoppable(cancel)
	err := t.runner.Run(ctx, s)
	t.stoppable(nil)
	if _, ok := interp.IsExitStatus(err); ok || errors.Is(err, context.Canceled) {
		return nil // a program has said itself what was wrong
	}
	return err
}

func (t *terminal) stoppable(stop context.CancelFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop = stop
}
