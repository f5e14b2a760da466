package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"

	"psyopsOS/step"
)

// runGroup runs the sub-command of c that args begin with.
func runGroup(ctx context.Context, e env, c command, args []string) int {
	if len(args) == 0 || isHelp(args[0]) {
		groupHelp(e.stdout, c)
		return 0
	}
	for _, sub := range c.subs {
		if sub.name == args[0] {
			sub.name = c.name + " " + sub.name
			return status(e, sub, sub.run(ctx, e, args[1:]))
		}
	}
	fmt.Fprintf(e.stderr, "tk %s: no command %q\nhint: the nearest is `tk %s %s`; `tk %s` lists all\n", c.name, args[0], c.name, nearestCommand(args[0], c.subs), c.name)
	return 2
}

func isHelp(word string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, word) }

func groupHelp(w io.Writer, c command) {
	fmt.Fprintf(w, "tk %s: %s.\n\n", c.name, c.short)
	for _, sub := range c.subs {
		fmt.Fprintf(w, "  tk %s %s %s\n      %s\n      e.g. %s\n", c.name, sub.name, sub.args, sub.short, sub.example)
	}
	fmt.Fprintf(w, "\n`tk %s COMMAND --help` tells all about one.\n", c.name)
}

// does gives c what it does. It is told what it is called.
func (c command) does(do func(ctx context.Context, e env, c command, args []string) error) command {
	named := c
	c.run = func(ctx context.Context, e env, args []string) error { return helped(do(ctx, e, named, args)) }
	return c
}

func nearestCommand(typed string, among []command) string {
	var names []string
	for _, c := range among {
		names = append(names, c.name)
	}
	return step.Nearest(typed, names)
}

// helped is err, or nil where the user asked for help and had it.
func helped(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
