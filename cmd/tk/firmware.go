package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/debian"
	"psyopsOS/image/stage"
	"psyopsOS/image/tree"
)

// A firmwareSource has files that kernel modules ask for.
type firmwareSource interface {
	inputs() []stage.Input
	// trees are the files of each package; contents may go to spool.
	trees(ctx context.Context, w *stage.Work, spool *os.File) ([]packageTree, error)
}

// A packageTree is a package with its files. A folder's has no name.
type packageTree struct {
	tree *tree.Tree
	pkg  image.Package
}

const firmwareHelp = "where the firmware comes from that the kernel's modules ask for: `SOURCE` is a folder, debian:PACKAGE, alpine:PACKAGE (linux-firmware-*) or none, and may be given more than once; default: all of Alpine's for its kernels for hardware, else none"

// noFirmware leaves it out where there would be some by default.
const noFirmware = "none"

// newFirmware takes a folder or KIND:PACKAGE.
func (p *project) newFirmware(source string, site *alpineSite) firmwareSource {
	kind, name, _ := strings.Cut(source, ":")
	switch kind {
	case "debian":
		return debianFirmware{p, name}
	case "alpine":
		return alpinePackages{site, name}
	}
	return folderFirmware(source)
}

type debianFirmware struct {
	*project
	name string
}

func (f debianFirmware) request() debian.Request { return debian.Request{Packages: []string{f.name}} }

func (f debianFirmware) inputs() []stage.Input {
	return []stage.Input{stage.Func("package "+f.name, func(ctx context.Context) (string, error) {
		packages, err := f.packages.Resolve(ctx, f.request())
		return strings.Join(packageNames(packages), " "), err
	})}
}

func packageNames(packages []debian.Package) (names []string) {
	for _, p := range packages {
		names = append(names, p.String())
	}
	return names
}

func (f debianFirmware) trees(ctx context.Context, w *stage.Work, spool *os.File) (all []packageTree, err error) {
	packages, err := f.packages.Resolve(ctx, f.request())
	if err != nil {
		return nil, err
	}
	files, err := f.packages.Fetch(ctx, w.Reporter, packages...)
	if err != nil {
		return nil, err
	}
	for i, part := range debianParts(packages...) {
		t, err := debian.Unpack(files[i], spool)
		if err != nil {
			return nil, err
		}
		all = append(all, packageTree{t, part})
	}
	return all, nil
}

type folderFirmware string

func (f folderFirmware) inputs() []stage.Input { return []stage.Input{stage.Folder(string(f))} }

func (f folderFirmware) trees(context.Context, *stage.Work, *os.File) ([]packageTree, error) {
	t, err := readFolder(string(f))
	return []packageTree{{tree: t}}, err
}

// addFirmware gives the modules what they ask for of what there is.
func (p project) addFirmware(ctx context.Context, w *stage.Work, k image.Kernel, spool *os.File) (*tree.Tree, []image.Package, error) {
	var from []*tree.Tree
	var packages []image.Package
	for _, source := range p.firmware {
		trees, err := source.trees(ctx, w, spool)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range trees {
			from = append(from, t.tree)
			if t.pkg.Name != "" {
				packages = append(packages, t.pkg)
			}
		}
	}
	firmware, missing, err := image.Firmware(k, from...)
	if err != nil {
		return nil, nil, err
	}
	if len(from) > 0 {
		w.Note("%d files of firmware; %d that modules name are not in it, and are listed in this stage's log", firmware.Len()-1, len(missing))
	} else if len(missing) > 0 {
		w.Note("no firmware: modules name %d files, and --firmware tells where they come from", len(missing))
	}
	fmt.Fprintf(w.Log, "firmware that modules name and nobody has:\n%s\n", strings.Join(missing, "\n"))
	return firmware, packages, nil
}
