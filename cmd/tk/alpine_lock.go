package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"psyopsOS/image/alpine"
	"psyopsOS/step"
)

const lockAbout = `
A build of Alpine's packages takes the versions that its lock file names, each
with its SHA-256: the same ones on every machine, from the package cache where
they are in it, whatever the repositories have by then. The first build makes
the lock; after that only ` + "`tk lock`" + ` changes a version. Keep it in git beside
the world file. Packages named by --kernel alpine:… and --firmware alpine:…
are in it too.`

func lockCommand() command {
	c := command{
		name: "lock", args: "[--world FILE] [--repository LINE…] [--kernel K] [--firmware SOURCE…] [--allow-downgrade]",
		short:   "take the newest Alpine packages into the lock file",
		example: "tk lock --world site/world --repository site/apks --repository-keys site/keys",
	}
	c.run = func(ctx context.Context, e env, args []string) error { return helped(lockPackages(ctx, e, c, args)) }
	return c
}

func outdatedCommand() command {
	c := command{
		name: "outdated", args: "[--world FILE] [--repository LINE…] [--kernel K] [--firmware SOURCE…] [--json]",
		short:   "show which Alpine packages `tk lock` would change",
		example: "tk outdated --world site/world --repository site/apks --repository-keys site/keys",
	}
	c.run = func(ctx context.Context, e env, args []string) error { return helped(showOutdated(ctx, e, c, args)) }
	return c
}

// readAlpine reads a command line on which Alpine is what it is about.
func readAlpine(e env, c command, flags wordsAndFlags, args []string) (*alpineSite, error) {
	var s imageSettings
	s.addFlags(flags.FlagSet)
	if err := flags.Set("userland", alpineKind); err != nil {
		return nil, err
	}
	out := flags.String("out", "artifacts", "the `folder` of `tk mkimage`, where the lock is when neither --lock nor --world is given")
	if _, err := flags.parse(e, args, 0, 0); err != nil {
		return nil, err
	}
	return newAlpine(s.withDefaults(), *out)
}

func lockPackages(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(c, lockAbout)
	downgrade := flags.Bool("allow-downgrade", false, "also take versions that are older than the locked ones")
	site, err := readAlpine(e, c, flags, args)
	if err != nil {
		return err
	}
	return siteStep(ctx, e, "lock packages", func(ctx context.Context, r *step.Reporter) error {
		old, changes, packages, others, err := site.changes(ctx, r)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(changes, alpine.Change.Older); i >= 0 && !*downgrade {
			return step.WithHint(fmt.Errorf("%s", changes[i]), "somebody may be playing an old repository back; --allow-downgrade takes it")
		}
		lock, err := site.lock(ctx, r, packages, others)
		if err != nil {
			return err
		}
		if err := lock.Against(old); err != nil {
			return err
		}
		tellChanges(e, changes)
		r.Note("%d packages are locked in %s", len(lock.Packages)+len(lock.Apart), site.lockFile)
		return site.writeLock(lock)
	})
}

func showOutdated(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(c, lockAbout)
	asJSON := flags.Bool("json", false, "a JSON array of name, was and is")
	site, err := readAlpine(e, c, flags, args)
	if err != nil {
		return err
	}
	return siteStep(ctx, e, "read repositories", func(ctx context.Context, r *step.Reporter) error {
		old, changes, _, _, err := site.changes(ctx, r)
		if err != nil {
			return err
		}
		if len(old.Packages) == 0 {
			return step.WithHint(fmt.Errorf("no package is locked in %s", site.lockFile), "`tk lock` makes it")
		}
		if *asJSON {
			return json.NewEncoder(e.stdout).Encode(append([]alpine.Change{}, changes...))
		}
		tellChanges(e, changes)
		return nil
	})
}

func tellChanges(e env, changes []alpine.Change) {
	for _, c := range changes {
		fmt.Fprintln(e.stdout, c)
	}
}

// changes tell the lock from the newest packages.
func (a *alpineSite) changes(ctx context.Context, r *step.Reporter) (old alpine.Lock, changes []alpine.Change, packages, others []alpine.Package, err error) {
	if old, err = a.readLock(); err != nil {
		return old, nil, nil, nil, err
	}
	packages, others, err = a.newest(ctx, r, a.userland, a.apart)
	return old, old.Outdated(packages, others), packages, others, err
}

// siteStep runs one step and tells on standard error what it does.
func siteStep(ctx context.Context, e env, name string, do func(context.Context, *step.Reporter) error) error {
	start := time.Now()
	runner := &step.Runner{Sink: buildSink(e.stderr, false, false), Now: func() time.Duration { return time.Since(start) }}
	return runner.Run(ctx, step.Step{Name: name, Do: do})
}
