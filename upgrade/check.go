package upgrade

import (
	"context"
	"fmt"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/release"
)

// check compares what lies on each target with the newest release, or with a
// version that was asked for. Each side is compared with its own version.
func check(ctx context.Context, c *call) (int, error) {
	targets := c.targets
	if len(targets) == 0 {
		targets = []string{"a", "b"}
	}
	keys, err := c.keys(c.env)
	if err != nil {
		return exitError, err
	}
	own, err := c.ownKeys(c.env)
	if err != nil {
		return exitError, err
	}
	repository, err := c.repository()
	if err != nil {
		return exitError, err
	}
	state, err := Inspect(c.env, c.Settings, own)
	if err != nil {
		return exitError, err
	}
	wanted := map[release.Kind]string{}
	behind := false
	var shown tree
	for _, target := range targets {
		kind, have, name, err := state.target(target)
		if err != nil {
			return exitUsage, err
		}
		if wanted[kind] == "" {
			found, err := find(ctx, repository, keys, kind, c.platform(kind), c.version)
			if err != nil {
				return exitError, err
			}
			wanted[kind] = found.Info.Version
		}
		behind = behind || have != wanted[kind]
		c.tellCheck(&shown, target, name, have, wanted[kind])
	}
	if c.JSON {
		err = c.print(shown)
	}
	if behind && err == nil {
		return exitAvailable, nil
	}
	return exitOf(err), err
}

// tellCheck says it in the words that scripts look for.
func (c *call) tellCheck(shown *tree, target, name, have, want string) {
	if c.JSON {
		shown.add(target, tree{{"label", name}, {"version", have}, {"wanted", want}, {"current", have == want}})
		return
	}
	switch {
	case have == want:
		fmt.Fprintf(c.env.Stdout, "%s: %s is version %s\n", target, name, have)
	case have == "":
		fmt.Fprintf(c.env.Stdout, "%s: %s is currently no whole release, not version %s\n", target, name, want)
	default:
		fmt.Fprintf(c.env.Stdout, "%s: %s is currently version %s, not version %s\n", target, name, have, want)
	}
}

// target is what a word for a target means on this node: the kind of release,
// the version there now, and the volume's label.
func (s State) target(word string) (kind release.Kind, version, label string, err error) {
	if word == "efisys" {
		have := s.Firmware.Info.Version
		if s.Loader.asksOnce() || s.Loader.runsOnce() {
			have = s.Firmware.Waiting.Version
		}
		return release.ESP, have, s.Firmware.Label, nil
	}
	side, err := s.sideNamed(word)
	if err != nil {
		return "", "", "", err
	}
	found := s.Side(side)
	if found.Incomplete != "" {
		return release.OS, "", found.Label, nil
	}
	return release.OS, found.Info.Version, found.Label, nil
}

// sideNamed is the side that a or b, booted or nonbooted means.
func (s State) sideNamed(word string) (layout.Label, error) {
	switch word {
	case "a", "b":
		side, _ := layout.SideOf(strings.ToUpper(word))
		return side, nil
	case "booted", "nonbooted":
		if !s.Booted.IsSide() {
			return "", fmt.Errorf("which side is %s? This machine was not booted by psyopsOS", word)
		}
		if word == "booted" {
			return s.Booted, nil
		}
		return s.Booted.Other(), nil
	}
	return "", usagef("no target %q: a, b, booted, nonbooted or efisys", word)
}
