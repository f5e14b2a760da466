// Package shell is the emergency shell of PID 1: it tells on every console of
// the kernel what is wrong, offers a shell on all of them at once, and runs it
// on the one where the first key is pressed.
//
// It reads /sys/class/tty to learn the consoles, opens them in /dev, and starts
// Program, which image.UrootCommands has put into the initramfs. The shell has
// a session and a controlling terminal of its own, so that Ctrl-C ends the
// program that runs in it and never the boot. What it leaves running ends with
// it, so that no volume stays busy.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"psyopsOS/step"
)

// Program is the shell in the initramfs.
const Program = "/bbin/sh"

// Patience is how long the offer stands when the caller names no time.
const Patience = 10 * time.Minute

// An Outcome says how the emergency shell ended.
type Outcome int

// The outcomes. After Left the caller goes on or repeats the failed step;
// after Untouched nobody is there, and it restarts the machine.
const (
	Untouched Outcome = iota // no key on any console in the time of the offer
	Left                     // a shell ran and was left
)

func (o Outcome) String() string {
	if o == Left {
		return "left"
	}
	return "untouched"
}

// Options say where and what to offer.
type Options struct {
	Sysfs    fs.FS                                // of /sys
	Open     func(name string) (Terminal, error)  // OpenTerminal on a real machine
	Banner   string                               // from Banner
	Patience time.Duration                        // how long the offer stands; zero for Patience
	Idle     time.Duration                        // after which a shell at which nobody types leaves; zero for Patience
	Then     string                               // what comes untouched; empty for "the machine restarts"
	Clock    func(time.Duration) <-chan time.Time // time.After, or a test's
}

// Run offers the shell on every console and, when a key is pressed, runs it
// there until it is left. It has started no goroutine that outlives it. It
// fails where there is no console, or no shell to run.
//
// When the shell ends, the kernel hangs up its console: every other file
// descriptor on it but /dev/console's gives EIO from then on. Who keeps one
// opens it again.
func Run(ctx context.Context, o Options) (Outcome, error) {
	if o.Patience == 0 {
		o.Patience = Patience
	}
	if o.Idle == 0 {
		o.Idle = Patience
	}
	if o.Then == "" {
		o.Then = "the machine restarts"
	}
	terminals, err := openAll(o)
	if err != nil {
		return Untouched, err
	}
	defer func() {
		for _, t := range terminals {
			t.Close()
		}
	}()
	tell(terminals, o.Banner+offer(o.Patience, o.Then))
	winner, err := firstKey(ctx, terminals, o.Clock(o.Patience))
	if err != nil || winner == nil {
		tell(terminals, "\nNobody pressed a key.\n")
		return Untouched, err
	}
	others := slices.DeleteFunc(slices.Clone(terminals), func(t Terminal) bool { return t == winner })
	tell(others, fmt.Sprintf("\nThe shell runs on %s.\n", winner.Name()))
	tell([]Terminal{winner}, "\n`help` lists the programs, `exit` leaves the shell.\n")
	if err := winner.Shell(ctx, []string{Program}, environment(winner.Name(), o.Idle)); err != nil {
		return Untouched, step.WithHint(fmt.Errorf("start %s on %s: %w", Program, winner.Name(), err),
			"this initramfs was made without the commands of %s", "u-root-config/commands")
	}
	tell(others, fmt.Sprintf("\nThe shell on %s was left.\n", winner.Name()))
	return Left, nil
}

func openAll(o Options) ([]Terminal, error) {
	var terminals []Terminal
	var failed []error
	for _, name := range Consoles(o.Sysfs) {
		t, err := o.Open(name)
		if err != nil {
			failed = append(failed, fmt.Errorf("console %s: %w", name, err))
			continue
		}
		terminals = append(terminals, t)
	}
	if len(terminals) == 0 {
		return nil, errors.Join(append([]error{errors.New("no console for an emergency shell")}, failed...)...)
	}
	return terminals, nil
}

// tell shows text on terminals. What a console does not take is lost.
func tell(terminals []Terminal, text string) {
	for _, t := range terminals {
		_, _ = t.Write([]byte(text))
	}
}

func offer(patience time.Duration, then string) string {
	return fmt.Sprintf("Press any key for a shell here. Untouched, %s in %s.\n", then, duration(patience))
}

func duration(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// environment is all that the shell inherits.
func environment(console string, idle time.Duration) []string {
	return []string{
		"PATH=/bbin:/bin",
		"HOME=/",
		"TERM=" + terminalType(console),
		"PS1=psyopsOS initramfs# ",
		// A shell at which nobody types leaves, and the offer comes again:
		// the key may have been noise on a serial line.
		fmt.Sprintf("TMOUT=%d", idle/time.Second),
	}
}

// terminalType is for programs that draw: a screen is Linux's own, and at the
// far end of a serial line is something that knows a VT100.
func terminalType(console string) string {
	if digits := strings.TrimPrefix(console, "tty"); digits != console && strings.Trim(digits, "0123456789") == "" {
		return "linux"
	}
	return "vt100"
}
