package alpine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"psyopsOS/step"
)

// Locked gives the files of packages of a lock, in their order. A file in the
// cache that has the lock's SHA-256 needs no index and no network, and no
// repository need have it any more. The rest is looked for in the
// repositories, whose signed indexes must name the very package that was
// locked.
func (c Client) Locked(ctx context.Context, report *step.Reporter, repositories []Repository, want []Locked) ([]File, error) {
	files := make([]File, len(want))
	var missing []int
	for i, l := range want {
		f, err := c.openLocked(l, repositories)
		if err != nil {
			missing = append(missing, i)
			continue
		}
		files[i] = f
	}
	if len(missing) == 0 {
		return files, nil
	}
	var absent []Locked
	for _, i := range missing {
		absent = append(absent, want[i])
	}
	if err := c.fetchLocked(ctx, report, repositories, absent); err != nil {
		return nil, err
	}
	for _, i := range missing {
		var err error
		if files[i], err = c.openLocked(want[i], repositories); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// openLocked opens what the cache has of l. It tells of the package what the
// package tells itself, which the lock vouches for, so that a build does not
// depend on whether an index was read.
func (c Client) openLocked(l Locked, repositories []Repository) (File, error) {
	p := Package{Name: l.Name, Version: l.Version, Arch: l.Arch, Checksum: l.Checksum, Repository: l.Repository}
	at := slices.IndexFunc(repositories, func(r Repository) bool { return r.Address == l.Repository })
	if at < 0 {
		return File{}, fmt.Errorf("lock: %s is of a repository that is not used: %s", l, l.Repository)
	}
	p.Tag = repositories[at].Tag
	info, err := os.Stat(c.file(p))
	if err != nil {
		return File{}, err
	}
	p.Size = info.Size()
	sum, err := hashFile(c.file(p))
	if err != nil {
		return File{}, err
	}
	if sum != l.SHA256 {
		return File{}, fmt.Errorf("lock: %s has the SHA-256 %s, and %s was locked", l, sum, l.SHA256)
	}
	f, err := Open(c.file(p), p)
	if err != nil {
		return File{}, err
	}
	return f, f.describe()
}

// describe fills in what an index would tell.
func (f *File) describe() error {
	for key, letter := range map[string]string{"pkgdesc": "T", "url": "U", "license": "L", "origin": "o", "maintainer": "m",
		"builddate": "t", "commit": "c", "provider_priority": "k", "size": "I", "depend": "D", "provides": "p",
		"install_if": "i", "replaces": "r", "replaces_priority": "q"} {
		if values := f.Info[key]; len(values) > 0 {
			if err := f.Package.set(letter, strings.Join(values, " ")); err != nil {
				return fmt.Errorf("package %s: %s: %w", f.Package, key, err)
			}
		}
	}
	return nil
}

func (c Client) fetchLocked(ctx context.Context, report *step.Reporter, repositories []Repository, want []Locked) error {
	if c.Offline {
		return notCached(want)
	}
	available, err := c.Available(ctx, report, repositories)
	if err != nil {
		return err
	}
	var packages []Package
	var errs []error
	for _, l := range want {
		p, err := l.find(available)
		errs = append(errs, err)
		packages = append(packages, p)
	}
	if err := errors.Join(errs...); err != nil {
		return step.WithHint(fmt.Errorf("lock: %w", err), "`tk outdated` shows what changed; `tk lock` takes it over")
	}
	_, err = c.Fetch(ctx, report, packages)
	return err
}

// Order sorts the locked files by their dependencies, and refuses those that
// are not what world asks for.
func Order(world []Dependency, files []File) ([]File, error) {
	byName := map[string]File{}
	packages := make([]Package, len(files))
	for i, f := range files {
		byName[f.Name], packages[i] = f, f.Package
	}
	if err := Check(world, packages); err != nil {
		return nil, step.WithHint(fmt.Errorf("lock: these packages are not what the world file asks for: %w", err), "`tk lock` makes a new one")
	}
	packages, err := Resolve(pinned(world, packages), packages)
	ordered := make([]File, len(packages))
	for i, p := range packages {
		ordered[i] = byName[p.Name]
	}
	return ordered, err
}
