// Command tk (telekinesis) is the build machine's tool: it builds the kernel,
// squashfs, initramfs, update tars and disk images of psyopsOS, and runs them
// in virtual machines.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"psyopsOS/step"
)

// An env is what a command may use of the world.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// A command is one word of tk.
type command struct {
	name    string
	args    string // after the name, in the usage line
	short   string // in the list of commands
	example string
	run     func(ctx context.Context, e env, args []string) error
	subs    []command // instead of run: words that follow this one
}

func commands() []command {
	return []command{mkimageCommand(), vmCommand(), nodeCommand(), psynetCommand(), signifyCommand(), deaddropCommand(), checkDepsCommand()}
}

// A usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second Ctrl-C ends at once.
	context.AfterFunc(ctx, stop)
	// mkfs.fat, mke2fs and depmod are in sbin, which a user's PATH may lack.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	os.Exit(run(ctx, env{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// run runs one command and is its exit status: 0, 1 for an error, 2 for a
// mistake on the command line.
func run(ctx context.Context, e env, args []string) int {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" {
		help(e.stdout)
		return 0
	}
	if args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	for _, c := range commands() {
		switch {
		case c.name != args[0]:
		case c.subs != nil:
			return runGroup(ctx, e, c, args[1:])
		default:
			return status(e, c, c.run(ctx, e, args[1:]))
		}
	}
	fmt.Fprintf(e.stderr, "tk: no command %q\nhint: `tk help` lists the commands\n", args[0])
	return 2
}

func status(e env, c command, err error) int {
	if err == nil {
		return 0
	}
	if _, isUsage := err.(usageError); isUsage {
		fmt.Fprintf(e.stderr, "tk %s: %v\nusage: tk %s %s\nexample: %s\n", c.name, err, c.name, c.args, c.example)
		return 2
	}
	fmt.Fprintf(e.stderr, "tk %s: %v\n", c.name, err)
	if hint := step.HintOf(err); hint != "" {
		fmt.Fprintf(e.stderr, "hint: %s\n", hint)
	}
	return 1
}

func help(w io.Writer) {
	fmt.Fprint(w, "tk builds psyopsOS and runs it.\n\nusage: tk COMMAND [ARGUMENTS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-12s %s\n  %-12s e.g. %s\n", c.name, c.short, "", c.example)
	}
	fmt.Fprint(w, "\n`tk COMMAND --help` tells all about one.\n")
}

// oneOf checks a flag's value against its choices.
func oneOf(flag, value string, choices ...string) error {
	for _, c := range choices {
		if c == value {
			return nil
		}
	}
	return usagef("--%s %q: want one of %s", flag, value, strings.Join(choices, ", "))
}
