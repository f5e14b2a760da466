package upgrade

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/release"
	"psyopsOS/step"
)

// download fetches and verifies releases into a file, or a folder.
func download(ctx context.Context, c *call) (int, error) {
	if len(c.args) != 1 {
		return exitUsage, usagef("download wants one OUTPUT: a file, or a folder")
	}
	kinds, err := c.kinds()
	if err != nil {
		return exitUsage, err
	}
	output := c.args[0]
	info, err := os.Stat(output)
	isFolder := err == nil && info.IsDir() || strings.HasSuffix(output, "/")
	if len(kinds) > 1 && !isFolder {
		return exitUsage, usagef("%s is no folder: two types of release need one", output)
	}
	keys, err := c.keys(c.env)
	if err != nil {
		return exitError, err
	}
	var steps []step.Step
	for _, kind := range kinds {
		steps = append(steps, step.Step{Name: "download " + string(kind), Do: func(ctx context.Context, r *step.Reporter) error {
			repository, err := c.repository()
			if err != nil {
				return err
			}
			found, err := find(ctx, repository, keys, kind, c.platform(kind), c.version)
			if err != nil {
				return err
			}
			name := output
			if isFolder {
				if err := os.MkdirAll(output, 0o755); err != nil {
					return err
				}
				name = filepath.Join(output, found.Info.Filename)
			}
			r.Fact("release", found.Info.Version, "%s", found.TarAddress())
			if err := found.Download(ctx, name, r.Progress); err != nil {
				return err
			}
			r.Fact("file", name, "verified: %s", name)
			return nil
		}})
	}
	return c.runSteps(ctx, steps)
}

func (c *call) kinds() ([]release.Kind, error) {
	if len(c.types) == 0 {
		return []release.Kind{release.OS}, nil
	}
	var kinds []release.Kind
	for _, word := range c.types {
		kind := release.Kind(word)
		if kind != release.OS && kind != release.ESP {
			return nil, usagef("--type %q: %s or %s", word, release.OS, release.ESP)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

// runSteps runs steps and tells of them as the settings say.
func (c *call) runSteps(ctx context.Context, steps []step.Step) (int, error) {
	start := time.Now()
	sink := step.Lines(c.env.Stderr, "", c.verbosity())
	switch {
	case c.JSON:
		sink = paced(step.JSONLines(c.env.Stdout))
	case isTerminal(c.env.Stderr) && !c.Quiet:
		sink = onTerminal(c.env.Stderr, sink)
	case !c.Verbose:
		sink = withoutProgress(sink)
	}
	// The sink has told of a failure, with its hint.
	if step.Run(ctx, sink, func() time.Duration { return time.Since(start) }, steps...) != nil {
		return exitError, nil
	}
	return exitDone, nil
}

func (c *call) verbosity() step.Verbosity {
	switch {
	case c.Verbose:
		return step.Verbose
	case c.Quiet:
		return step.Quiet
	}
	return step.Normal
}
