package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/step"
)

func showconfigCommand() command {
	return command{
		name: "showconfig", args: "[KEY…] [--json] [any setting's flag]",
		short:   "show every setting, its value and where it came from",
		example: "tk showconfig build.kernel --kernel generic",
	}.does(showconfig)
}

// A shownSetting is one setting in --json.
type shownSetting struct {
	Key    string          `json:"key"`
	Value  any             `json:"value"`
	Source settings.Source `json:"source"`
	Where  string          `json:"where,omitempty"`
	Flag   string          `json:"flag,omitempty"`
	Env    []string        `json:"environment,omitempty"`
	About  string          `json:"about"`
}

func showconfig(_ context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
Flags win over the environment, the environment over `+settings.FileName+`, the file over
defaults. The file is the nearest one upwards from the working folder, or
PSYOPSOS_CONFIG; none is needed. Relative paths in it begin at its folder.
With one KEY only its value is printed.`)
	asJSON := flags.Bool("json", false, "print JSON")
	set := e.settings
	for _, v := range e.settings.All() {
		if v.Flag != "" {
			flags.bind(v.Key, func(words []string) { set = set.With(v.Key, words, "--"+v.Flag) })
		}
	}
	keys, err := flags.parse(e, args, 0, -1)
	if err != nil {
		return err
	}
	values, err := choose(set, keys)
	switch {
	case err != nil:
		return err
	case *asJSON:
		return showJSON(e.stdout, set, values)
	case len(keys) == 1:
		fmt.Fprintln(e.stdout, strings.Join(values[0].Words, ","))
		return nil
	}
	return showTable(e.stdout, set, values)
}

// choose are the values of these keys, or all.
func choose(set *settings.Settings, keys []string) ([]settings.Value, error) {
	all := set.All()
	if len(keys) == 0 {
		return all, nil
	}
	var names []string
	for _, v := range all {
		names = append(names, v.Key)
	}
	var chosen []settings.Value
	for _, key := range keys {
		i := slices.Index(names, key)
		if i < 0 {
			return nil, step.WithHint(fmt.Errorf("no setting %q", key), "the nearest is %s", step.Nearest(key, names))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func showJSON(w io.Writer, set *settings.Settings, values []settings.Value) error {
	shown := []shownSetting{}
	for _, v := range values {
		one := shownSetting{Key: v.Key, Value: v.Typed(), Source: v.Source, Where: v.Where, Env: v.Env, About: strings.ReplaceAll(v.Meaning, "`", "")}
		if v.Flag != "" {
			one.Flag = "--" + v.Flag
		}
		shown = append(shown, one)
	}
	return writeJSON(w, struct {
		File     string         `json:"file,omitempty"`
		Profiles []string       `json:"vm_profiles,omitempty"`
		Settings []shownSetting `json:"settings"`
	}{set.File, set.Profiles("vm"), shown})
}

func showTable(w io.Writer, set *settings.Settings, values []settings.Value) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	file := set.File
	if file == "" {
		file = "none"
	}
	fmt.Fprintf(w, "%s: %s\n\n", settings.FileName, file)
	for _, v := range values {
		value, from := strings.Join(v.Words, " "), string(v.Source)
		if value == "" {
			value = "-"
		}
		if v.Source == settings.FromEnv || v.Source == settings.FromFlag {
			from = v.Where
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", v.Key, value, from)
	}
	for _, name := range set.Profiles("vm") {
		fmt.Fprintf(table, "vm.profile.%s\t\tfile\n", name)
	}
	return table.Flush()
}
