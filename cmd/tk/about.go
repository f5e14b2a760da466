package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// commit is set by the linker.
var commit = "unknown"

func versionCommand() command {
	return command{
		name: "version", args: "[--json]",
		short:   "tell which commit this tk is of",
		example: "tk version", withoutSettings: true,
	}.does(version)
}

func version(_ context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, "What a bug report begins with.")
	asJSON := flags.Bool("json", false, "as JSON")
	if _, err := flags.parse(e, args, 0, 0); err != nil {
		return err
	}
	about := struct {
		Commit   string `json:"commit"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{builtOf(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if *asJSON {
		return writeJSON(e.stdout, about)
	}
	_, err := fmt.Fprintf(e.stdout, "tk %s (%s, %s)\n", about.Commit, about.Go, about.Platform)
	return err
}

// builtOf is the commit that make says, or that `go build` has found out.
func builtOf() string {
	if commit != "unknown" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit
	}
	found, dirty := commit, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			found = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return found + dirty
}
