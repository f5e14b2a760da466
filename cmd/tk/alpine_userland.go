package main

import (
	"context"
	"fmt"
	"os"

	"psyopsOS/image"
	"psyopsOS/image/alpine"
	"psyopsOS/image/stage"
	"psyopsOS/image/tree"
)

// alpineUserland is made of Alpine's or Wolfi's packages.
type alpineUserland struct{ *alpineSite }

func (alpineUserland) id() string { return "alpine" }

func (u alpineUserland) inputs() []stage.Input {
	return []stage.Input{stage.Value("alpine", alpine.Recipe), stage.Value("world", string(alpine.RenderWorld(u.world))),
		stage.Func("repositories", func(context.Context) (string, error) { return u.trust() }), u.lockedInput("packages", ofUserland)}
}

func (u alpineUserland) build(ctx context.Context, w *stage.Work, spool *os.File) (image.Userland, error) {
	files, parts, err := u.fetch(ctx, w, ofUserland)
	if err != nil {
		return image.Userland{}, err
	}
	if files, err = alpine.Order(u.world, files); err != nil {
		return image.Userland{}, err
	}
	made, err := alpine.Install(files, alpine.Options{World: u.world, Repositories: u.repositories, Arch: u.client.Arch, Spool: spool})
	if err != nil {
		return image.Userland{}, err
	}
	name, err := image.ReleaseName(made.Tree)
	if err != nil {
		return image.Userland{}, err
	}
	w.Note("%s, %d packages", name, len(files))
	return image.Userland{Tree: made.Tree, Name: name, Packages: parts, Undone: made.Undone}, nil
}

// alpinePackages are packages apart: a kernel, or firmware.
type alpinePackages struct {
	*alpineSite
	pattern string
}

func (k alpinePackages) inputs() []stage.Input {
	return []stage.Input{k.lockedInput("packages "+k.pattern, k.pick)}
}

func (k alpinePackages) pick(l alpine.Lock) []alpine.Locked { return l.ApartLike(k.pattern) }

func (k alpinePackages) id() string { return k.pattern }

// files are the tree of a kernel's one package.
func (k alpinePackages) files(ctx context.Context, w *stage.Work, spool *os.File) (*tree.Tree, []image.Package, error) {
	all, err := k.trees(ctx, w, spool)
	if err != nil {
		return nil, nil, err
	}
	if len(all) != 1 {
		return nil, nil, fmt.Errorf("%s names %d packages and not one kernel", k.pattern, len(all))
	}
	return all[0].tree, []image.Package{all[0].pkg}, nil
}

// trees are the packages' files.
func (k alpinePackages) trees(ctx context.Context, w *stage.Work, spool *os.File) (all []packageTree, err error) {
	files, parts, err := k.fetch(ctx, w, k.pick)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no package %s is in %s", k.pattern, k.lockFile)
	}
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		t, _, err := f.Unpack(spool)
		if err != nil {
			return nil, err
		}
		all = append(all, packageTree{t, parts[i]})
	}
	return all, nil
}
