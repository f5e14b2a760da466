package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/debian"
	"psyopsOS/image/stage"
	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// A kernelSource is one way to come by a kernel with its modules. The stage
// kernel asks it what it depends on, and has it fetched.
type kernelSource interface {
	// id is the word that tells stages and images with this kernel from
	// others; empty for the default.
	id() string
	inputs() []stage.Input
	// files are laid out as a distribution's package or as image.ReadKernel
	// describes. Contents may go to spool, which stays open until the kernel
	// is written.
	files(ctx context.Context, w *stage.Work, spool *os.File) (*tree.Tree, []image.Package, error)
}

// defaultKernel is Debian's for virtual machines: a third of the size.
const defaultKernel = "cloud"

const kernelHelp = "`K` is cloud or generic (Debian's), debian:PACKAGE, alpine:PACKAGE (linux-lts), FILE.rpm (several behind commas, or a folder of them), or a folder with lib/modules and a kernel"

// newKernel takes a short name, KIND:PACKAGE, or a folder.
func (p *project) newKernel(s imageSettings) kernelSource {
	kind, argument, _ := strings.Cut(s.Kernel, ":")
	switch kind {
	case "cloud":
		return debianKernel{p, "", "linux-image-cloud-amd64"}
	case "generic":
		return debianKernel{p, "generic", "linux-image-amd64"}
	case "debian":
		return debianKernel{p, argument, argument}
	case "alpine":
		return alpinePackages{p.alpine, argument}
	}
	if files := rpmFiles(s.Kernel); files != nil {
		return rpmKernel(files)
	}
	return folderKernel(s.Kernel)
}

// debianKernel is a kernel's package, or a metapackage that leads to one.
type debianKernel struct {
	*project
	name, meta string
}

func (k debianKernel) id() string { return k.name }

func (k debianKernel) inputs() []stage.Input {
	return []stage.Input{stage.Func("kernel package", func(ctx context.Context) (string, error) {
		pkg, err := k.packages.Kernel(ctx, k.meta)
		return pkg.String(), err
	})}
}

func (k debianKernel) files(ctx context.Context, w *stage.Work, spool *os.File) (*tree.Tree, []image.Package, error) {
	pkg, err := k.packages.Kernel(ctx, k.meta)
	if err != nil {
		return nil, nil, err
	}
	files, err := k.packages.Fetch(ctx, w.Reporter, pkg)
	if err != nil {
		return nil, nil, err
	}
	t, err := debian.Unpack(files[0], spool)
	return t, debianParts(pkg), err
}

// folderKernel is a folder of the build machine.
type folderKernel string

func (k folderKernel) id() string { return filepath.Base(string(k)) }

func (k folderKernel) inputs() []stage.Input { return []stage.Input{stage.Folder(string(k))} }

func (k folderKernel) files(context.Context, *stage.Work, *os.File) (*tree.Tree, []image.Package, error) {
	t, err := readFolder(string(k))
	return t, nil, err
}

// readFolder is a folder of the build machine as a tree, all root's.
func readFolder(name string) (*tree.Tree, error) {
	t, err := tree.FromFS(os.DirFS(name), tree.PlainModes)
	if err != nil {
		err = step.WithHint(fmt.Errorf("folder %s: %w", name, err), "what is no folder has a kind before it: debian:PACKAGE, alpine:PACKAGE")
	}
	return t, err
}
