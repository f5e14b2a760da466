package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/image"
	"psyopsOS/image/alpine"
	"psyopsOS/image/stage"
	"psyopsOS/step"
)

// alpineSettings are where packages of Alpine or Wolfi come from, and which.
type alpineSettings struct {
	Repositories []string // "[@TAG ]ADDRESS[ keys=FOLDER]"
	Keys         string   // folder of public keys, for repositories that name none
	World        string   // file; empty: alpine.DefaultWorld
	Lock         string   // file; empty: beside the world file
	Cache        string   // folder; empty: the user's
	Offline      bool
}

func (s *alpineSettings) addFlags(flags wordsAndFlags) {
	flags.list(&s.Repositories, "alpine.repository")
	flags.text(&s.Keys, "alpine.keys")
	flags.text(&s.World, "alpine.world")
	flags.text(&s.Lock, "alpine.lock")
	flags.text(&s.Cache, "alpine.cache")
	flags.yes(&s.Offline, "alpine.offline")
}

func alpineSettingsTable() []settings.Setting {
	return []settings.Setting{
		{Key: "alpine.repository", List: true, Flag: "repository", Sample: "https://packages.example/alpine/v3.22/main",
			Meaning: "a repository of Alpine packages, more than once: `LINE` is [@TAG ]ADDRESS[ keys=FOLDER], the address http://…, https://… or a folder"},
		{Key: "alpine.keys", Kind: settings.Path, Flag: "repository-keys", Sample: "keys/apk", Meaning: "the `folder` of the repositories' public keys, NAME.rsa.pub each"},
		{Key: "alpine.world", Kind: settings.Path, Flag: "world", Sample: "world", Meaning: "the `file` that lists the packages of the userland, with or without versions"},
		{Key: "alpine.lock", Kind: settings.Path, Flag: "lock", Sample: "world.lock", Meaning: "the lock `file`, made where it is missing; without it: WORLD.lock"},
		{Key: "alpine.cache", Kind: settings.Path, Flag: "package-cache", Sample: "cache", Meaning: "the `folder` of downloaded Alpine packages; without it one of the user's"},
		{Key: "alpine.offline", Kind: settings.Switch, Default: one("false"), Flag: "offline", Meaning: "build of the lock and the package cache alone"},
	}
}

// alpineKind begins what is made of Alpine's packages.
const alpineKind = "alpine"

// An alpineSite is what all of a build's Alpine packages have in common.
type alpineSite struct {
	world        []alpine.Dependency
	repositories []alpine.Repository
	client       alpine.Client
	lockFile     string
	userland     bool     // the world is wanted
	apart        []string // patterns of packages beside it
}

// newAlpine reads what the settings name.
func newAlpine(s imageSettings, out string) (*alpineSite, error) {
	a := &alpineSite{lockFile: s.Alpine.Lock, userland: s.Userland == alpineKind, apart: s.apart(), client: alpine.Client{Cache: s.Alpine.Cache, Base: s.Base, Arch: "x86_64", Offline: s.Alpine.Offline, Do: http.DefaultClient.Do}}
	world := alpine.DefaultWorld()
	var err error
	if s.Alpine.World != "" {
		if world, err = os.ReadFile(s.Alpine.World); err != nil {
			return nil, err
		}
	}
	if a.world, err = alpine.ParseWorld(world); err != nil {
		return nil, err
	}
	if a.lockFile == "" {
		a.lockFile = filepath.Join(out, "alpine.lock")
		if s.Alpine.World != "" {
			a.lockFile = s.Alpine.World + ".lock"
		}
	}
	if a.client.Cache == "" {
		if a.client.Cache, err = alpine.DefaultCache(); err != nil {
			return nil, err
		}
	}
	if a.client.Base == "" {
		if a.client.Base, err = os.Getwd(); err != nil {
			return nil, err
		}
	}
	return a, a.readRepositories(s.Alpine)
}

func (a *alpineSite) readRepositories(s alpineSettings) error {
	if len(s.Repositories) == 0 {
		return step.WithHint(usagef("no repository of Alpine packages is named"),
			"--repository https://MIRROR/alpine/v3.22/main --repository-keys FOLDER; a machine with Alpine has the keys in /etc/apk/keys")
	}
	for _, line := range s.Repositories {
		place, keys, own := strings.Cut(line, " keys=")
		if own && !filepath.IsAbs(keys) {
			keys = filepath.Join(a.client.Base, keys)
		}
		r, err := alpine.ParseRepository(place)
		if err != nil {
			return usageError{err}
		}
		if keys = firstOf(keys, s.Keys); keys == "" {
			return step.WithHint(usagef("repository %s: nobody says whose signature is trusted", r.Address), "--repository-keys FOLDER, or keys=FOLDER behind its address")
		}
		if r.Keys, err = alpine.ReadKeys(os.DirFS(keys)); err != nil {
			return fmt.Errorf("%s: %w", keys, err)
		}
		a.repositories = append(a.repositories, r)
	}
	return nil
}

// readLock gives an empty lock where there is none.
func (a *alpineSite) readLock() (alpine.Lock, error) {
	text, err := os.ReadFile(a.lockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return alpine.Lock{}, nil
	}
	if err != nil {
		return alpine.Lock{}, err
	}
	lock, err := alpine.ParseLock(text)
	if err != nil {
		err = fmt.Errorf("%s: %w", a.lockFile, err)
	}
	return lock, err
}

// newest are the packages that would be locked now.
func (a *alpineSite) newest(ctx context.Context, report *step.Reporter, userland bool, apart []string) (packages, others []alpine.Package, err error) {
	available, err := a.client.Available(ctx, report, a.repositories)
	if err != nil {
		return nil, nil, err
	}
	if userland {
		if packages, err = alpine.Resolve(a.world, available); err != nil {
			return nil, nil, err
		}
	}
	for _, pattern := range apart {
		found, err := alpine.Newest(pattern, available)
		if err != nil {
			return nil, nil, err
		}
		others = append(others, found...)
	}
	return packages, others, nil
}

// lock makes the lock of packages, which it downloads.
func (a *alpineSite) lock(ctx context.Context, report *step.Reporter, packages, others []alpine.Package) (alpine.Lock, error) {
	files, err := a.client.Fetch(ctx, report, slices.Concat(packages, others))
	if err != nil {
		return alpine.Lock{}, err
	}
	return alpine.NewLock(files[:len(packages)], files[len(packages):])
}

func (a *alpineSite) writeLock(l alpine.Lock) error {
	if err := os.MkdirAll(filepath.Dir(a.lockFile), 0o755); err != nil {
		return err
	}
	return writeWhole(a.lockFile, l.Render(), 0o644)
}

// prepare sees to it that the lock has what the build wants. What it has
// already stays as it is.
func (a *alpineSite) prepare(ctx context.Context, runner *step.Runner) error {
	lock, err := a.readLock()
	if err != nil {
		return err
	}
	world := a.userland && len(lock.Packages) == 0
	apart := slices.DeleteFunc(slices.Clone(a.apart), func(pattern string) bool { return len(lock.ApartLike(pattern)) > 0 })
	if !world && len(apart) == 0 {
		return nil
	}
	return runner.Run(ctx, step.Step{Name: "lock packages", Do: func(ctx context.Context, r *step.Reporter) error {
		packages, others, err := a.newest(ctx, r, world, apart)
		if err != nil {
			return err
		}
		more, err := a.lock(ctx, r, packages, others)
		if err != nil {
			return err
		}
		lock = lock.With(more)
		r.Note("%d packages are locked in %s", len(lock.Packages)+len(lock.Apart), a.lockFile)
		return a.writeLock(lock)
	}})
}

// trust lists the repositories with their keys, which are written into the
// image.
func (a *alpineSite) trust() (string, error) {
	var b strings.Builder
	for _, r := range a.repositories {
		fmt.Fprintln(&b, r.Tag, r.Address)
		for _, name := range slices.Sorted(maps.Keys(r.Keys)) {
			key, err := alpine.RenderKey(r.Keys[name])
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "%s\n%s", name, key)
		}
	}
	return b.String(), nil
}

// lockedInput are packages of the lock; of one that is missing the stage will
// say so.
func (a *alpineSite) lockedInput(name string, pick func(alpine.Lock) []alpine.Locked) stage.Input {
	return stage.Func(name, func(context.Context) (string, error) {
		lock, err := a.readLock()
		return string(alpine.Lock{Packages: pick(lock)}.Render()), err
	})
}

func ofUserland(l alpine.Lock) []alpine.Locked { return l.Packages }

// fetch gives the files of locked packages and tells of them.
func (a *alpineSite) fetch(ctx context.Context, w *stage.Work, pick func(alpine.Lock) []alpine.Locked) ([]alpine.File, []image.Package, error) {
	lock, err := a.readLock()
	if err != nil {
		return nil, nil, err
	}
	locked := pick(lock)
	files, err := a.client.Locked(ctx, w.Reporter, a.repositories, locked)
	if err != nil {
		return nil, nil, err
	}
	var parts []image.Package
	for i, f := range files {
		parts = append(parts, image.Package{Type: "apk", Distro: "alpine", Name: f.Name, Version: f.Version, Arch: f.Arch,
			Origin: f.Origin, License: f.License, SHA256: locked[i].SHA256})
	}
	return files, parts, nil
}
