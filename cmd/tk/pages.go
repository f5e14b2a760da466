package main

import (
	"context"
	"flag"
	"io"
	"slices"
	"strings"

	"psyopsOS/cmd/tk/settings"
)

// A page is all that is known of one command: help, man pages and completions
// are three ways to print it.
type page struct {
	wordsAndFlags
	path []string // "node", "new"
	task string
}

// pages are those of all commands, in the order of the help. Each command is
// asked for help, so that what is documented is what it takes.
func pages() []page {
	var all []page
	noEnvironment := func(string) string { return "" }
	add := func(c command, path ...string) {
		e := env{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, settings: settings.Defaults(settingsTable(noEnvironment))}
		e.page = func(f wordsAndFlags) {
			f.command.words = c.words
			all = append(all, page{f, path, c.task})
		}
		// It does nothing but ask for the page.
		_ = c.run(context.Background(), e, []string{"--help"})
	}
	for _, task := range tasks() {
		for _, c := range commands() {
			if c.task != task {
				continue
			}
			if c.subs == nil {
				add(c, c.name)
			}
			for _, sub := range c.subs {
				sub.task = task
				add(sub, c.name, sub.name)
			}
		}
	}
	return all
}

// flags lists a page's flags by name.
func (p page) flags() []*flag.Flag {
	var all []*flag.Flag
	p.VisitAll(func(f *flag.Flag) { all = append(all, f) })
	return all
}

// takesValue says whether a flag wants a word after it.
func takesValue(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !b.IsBoolFlag()
}

// choices are the words that a flag may have, where its usage lists them as
// `a, b or c`.
func choices(f *flag.Flag) []string {
	name, _ := flag.UnquoteUsage(f)
	if !strings.Contains(name, " or ") {
		return nil
	}
	return slices.DeleteFunc(strings.FieldsFunc(strings.ReplaceAll(name, " or ", ","), func(r rune) bool { return r == ',' || r == ' ' }),
		func(s string) bool { return s == "" })
}
