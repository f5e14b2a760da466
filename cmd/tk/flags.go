package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/step"
)

// A wordsAndFlags is what a command line is read with: flags anywhere between
// the words, defaults from the settings, and a help text that teaches. Help,
// completions and man pages are made from it.
type wordsAndFlags struct {
	*flag.FlagSet
	command  command
	about    string // what a user wants to know before using it
	settings *settings.Settings
	bound    map[string]settings.Setting // by flag
}

func newFlags(e env, c command, about string) wordsAndFlags {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // help and errors are written here, once
	return wordsAndFlags{flags, c, strings.TrimSpace(about), e.settings, map[string]settings.Setting{}}
}

// parse gives the words that are no flags, of which there must be at least
// least and at most most (below zero: any number). It writes help where that
// was asked for: the error is flag.ErrHelp then.
func (f wordsAndFlags) parse(e env, args []string, least, most int) ([]string, error) {
	words, err := parseMixed(f.FlagSet, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		if e.page != nil {
			e.page(f)
			return nil, err
		}
		f.help(e.stdout)
		return nil, err
	case err != nil:
		return nil, usageError{f.withNearest(err)}
	case len(words) < least:
		return nil, usagef("too few words: %d, want %s", len(words), f.command.args)
	case most >= 0 && len(words) > most:
		return nil, usagef("%q is one word too many", words[most])
	}
	return words, nil
}

// parseMixed parses flags wherever they stand, and gives the other words.
func parseMixed(flags *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return words, nil
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// withNearest adds to the error of an unknown flag the one that was meant.
func (f wordsAndFlags) withNearest(err error) error {
	typed, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	var names []string
	f.VisitAll(func(g *flag.Flag) { names = append(names, g.Name) })
	return step.WithHint(fmt.Errorf("no flag --%s", strings.TrimLeft(typed, "-")), "the nearest is --%s", step.Nearest(typed, names))
}

// wasGiven reports whether the command line itself has the flag.
func (f wordsAndFlags) wasGiven(name string) bool {
	given := false
	f.Visit(func(g *flag.Flag) { given = given || g.Name == name })
	return given
}

func (f wordsAndFlags) help(w io.Writer) {
	fmt.Fprintf(w, "usage: tk %s %s\n\n%s.\n", f.command.name, f.command.args, f.command.short)
	if f.about != "" {
		fmt.Fprintf(w, "\n%s\n", f.about)
	}
	fmt.Fprintln(w)
	f.VisitAll(func(g *flag.Flag) {
		value, usage := flag.UnquoteUsage(g)
		if value != "" {
			value = " " + value
		}
		fmt.Fprintf(w, "  --%s%s\n      %s\n", g.Name, value, usage)
		if s, ok := f.bound[g.Name]; ok {
			fmt.Fprintf(w, "      [%s]\n", strings.Join(setBy(s), "; "))
		}
	})
	fmt.Fprintf(w, "\nexample: %s\n", f.command.example)
}

// setBy says where else a setting can be set, and its default.
func setBy(s settings.Setting) []string {
	ways := []string{s.Key + " in " + settings.FileName}
	if len(s.Env) > 0 {
		ways = append(ways, strings.Join(s.Env, ", "))
	}
	if text := strings.Join(s.Default, ","); text != "" && !strings.HasPrefix(text, "/") {
		ways = append(ways, "default "+text)
	}
	return ways
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

// telling adds the flags that say how much is told, and in which form.
func (f wordsAndFlags) telling() *telling {
	t := new(telling)
	f.BoolVar(&t.json, "json", false, "tell events as lines of JSON")
	f.BoolVar(&t.verbose, "verbose", false, "tell every event")
	f.BoolVar(&t.quiet, "quiet", false, "tell warnings and failures only")
	return t
}

// text binds a flag to a setting: that is its default.
func (f wordsAndFlags) text(p *string, key string) {
	*p = f.settings.Text(key)
	f.bind(key, func(words []string) { *p = strings.Join(words, ",") })
}

func (f wordsAndFlags) number(p *int, key string) {
	*p = f.settings.Number(key)
	f.bind(key, func(words []string) { *p = f.settings.With(key, words, "").Number(key) })
}

func (f wordsAndFlags) yes(p *bool, key string) {
	*p = f.settings.Yes(key)
	f.bind(key, func(words []string) { *p = f.settings.With(key, words, "").Yes(key) })
}

// list is the only one whose flag may be given more than once; what it gives
// takes the place of the setting.
func (f wordsAndFlags) list(p *[]string, key string) {
	*p = f.settings.Words(key)
	f.bind(key, func(words []string) { *p = words })
}

// bind adds the flag of a setting and calls set with what is given.
func (f wordsAndFlags) bind(key string, set func(words []string)) {
	s := f.settings.Value(key).Setting
	f.bound[s.Flag] = s
	f.Var(&settingFlag{setting: s, set: set}, s.Flag, s.Meaning)
}

// A settingFlag is a flag.Value that checks as the file's values are checked.
type settingFlag struct {
	setting settings.Setting
	set     func(words []string)
	words   []string
}

// String is empty: help tells the default in its own words.
func (f *settingFlag) String() string { return "" }

// IsBoolFlag lets a switch stand without a value.
func (f *settingFlag) IsBoolFlag() bool { return f.setting.Kind == settings.Switch }

func (f *settingFlag) Set(text string) error {
	if err := f.setting.Validate([]string{text}); err != nil {
		return err
	}
	if f.setting.List {
		f.words = append(f.words, text)
	} else {
		f.words = []string{text}
	}
	f.set(f.words)
	return nil
}
