package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
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
	fmt.Fprintf(e.stderr, "tk %s: no command %q\nhint: `tk %s` lists the commands\n", c.name, args[0], c.name)
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

// A wordsAndFlags is what a command line of a sub-command is read with: flags
// anywhere between the words, and a help text that teaches.
type wordsAndFlags struct {
	*flag.FlagSet
	command command
	about   string // what a user wants to know before using it
}

func newFlags(c command, about string) wordsAndFlags {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // help and errors are written here, once
	return wordsAndFlags{flags, c, strings.TrimSpace(about)}
}

// parse gives the words that are no flags, of which there must be at least
// least and at most most (below zero: any number). It writes help where that
// was asked for: the error is flag.ErrHelp then.
func (f wordsAndFlags) parse(e env, args []string, least, most int) ([]string, error) {
	words, err := parseMixed(f.FlagSet, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.help(e.stdout)
		return nil, err
	case err != nil:
		return nil, usageError{err}
	case len(words) < least:
		return nil, usagef("too few words: %d, want %s", len(words), f.command.args)
	case most >= 0 && len(words) > most:
		return nil, usagef("%q is one word too many", words[most])
	}
	return words, nil
}

func (f wordsAndFlags) help(w io.Writer) {
	fmt.Fprintf(w, "usage: tk %s %s\n\n%s.\n\n%s\n\n", f.command.name, f.command.args, f.command.short, f.about)
	f.VisitAll(func(g *flag.Flag) {
		value, usage := flag.UnquoteUsage(g)
		if value != "" {
			value = " " + value
		}
		fmt.Fprintf(w, "  --%s%s\n      %s\n", g.Name, value, usage)
	})
	fmt.Fprintf(w, "\nexample: %s\n", f.command.example)
}

// strings adds a flag that may be given more than once.
func (f wordsAndFlags) strings(name, usage string) *[]string {
	var values []string
	f.Func(name, usage, func(s string) error {
		if s == "" {
			return errors.New("it is empty")
		}
		values = append(values, s)
		return nil
	})
	return &values
}

// helped is err, or nil where the user asked for help and had it.
func helped(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
