package main

import (
	"context"
	"fmt"
	"slices"

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
	return command{
		name: "lock", args: "[--world FILE] [--repository LINE…] [--kernel K] [--firmware SOURCE…] [--allow-downgrade]",
		short:   "take the newest Alpine packages into the lock file",
		example: "tk lock --world site/world --repository site/apks --repository-keys site/keys",
	}.does(lockPackages)
}

func outdatedCommand() command {
	return command{
		name: "outdated", args: "[--world FILE] [--repository LINE…] [--kernel K] [--firmware SOURCE…] [--json]",
		short:   "show which Alpine packages `tk lock` would change",
		example: "tk outdated --world site/world --repository site/apks --repository-keys site/keys",
	}.does(showOutdated)
}

// An alpineCommand is a command line on which Alpine is what it is about.
type alpineCommand struct {
	*alpineSite
	e    env
	tell *telling
}

// readAlpine parses it.
func readAlpine(e env, flags wordsAndFlags, args []string) (alpineCommand, error) {
	var s imageSettings
	var out string
	s.addFlags(flags)
	flags.text(&out, "build.out")
	tell := flags.telling()
	if _, err := flags.parse(e, args, 0, 0); err != nil {
		return alpineCommand{}, err
	}
	s.Userland = alpineKind
	site, err := newAlpine(s.withDefaults(), out)
	return alpineCommand{site, e, tell}, err
}

// step runs one step and tells on standard error what it does.
func (a alpineCommand) step(ctx context.Context, name string, do func(context.Context, *step.Reporter) error) error {
	runner, done := a.tell.runner(a.e)
	defer done()
	return runner.Run(ctx, step.Step{Name: name, Do: do})
}

// tellChanges prints them, as JSON where that was asked for.
func (a alpineCommand) tellChanges(changes []alpine.Change) error {
	if a.tell.json {
		return writeJSON(a.e.stdout, append([]alpine.Change{}, changes...))
	}
	for _, c := range changes {
		fmt.Fprintln(a.e.stdout, c)
	}
	return nil
}

func lockPackages(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, lockAbout)
	downgrade := flags.Bool("allow-downgrade", false, "also take versions that are older than the locked ones")
	site, err := readAlpine(e, flags, args)
	if err != nil {
		return err
	}
	return site.step(ctx, "lock packages", func(ctx context.Context, r *step.Reporter) error {
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
		if err := site.tellChanges(changes); err != nil {
			return err
		}
		r.Note("%d packages are locked in %s", len(lock.Packages)+len(lock.Apart), site.lockFile)
		return site.writeLock(lock)
	})
}

func showOutdated(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, lockAbout)
	site, err := readAlpine(e, flags, args)
	if err != nil {
		return err
	}
	return site.step(ctx, "read repositories", func(ctx context.Context, r *step.Reporter) error {
		old, changes, _, _, err := site.changes(ctx, r)
		if err != nil {
			return err
		}
		if len(old.Packages) == 0 {
			return step.WithHint(fmt.Errorf("no package is locked in %s", site.lockFile), "`tk lock` makes it")
		}
		return site.tellChanges(changes)
	})
}

// changes tell the lock from the newest packages.
func (a *alpineSite) changes(ctx context.Context, r *step.Reporter) (old alpine.Lock, changes []alpine.Change, packages, others []alpine.Package, err error) {
	if old, err = a.readLock(); err != nil {
		return old, nil, nil, nil, err
	}
	packages, others, err = a.newest(ctx, r, a.userland, a.apart)
	return old, old.Outdated(packages, others), packages, others, err
}
