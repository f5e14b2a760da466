package debian

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"psyopsOS/step"
)

// A Request names the packages that a userland is made of.
type Request struct {
	Packages []string
	// Drop are libraries that are left out although something depends on
	// them, with the reason.
	Drop map[string]string
}

// Resolve finds the newest version of each package asked for and of the
// libraries that they need, sorted by name.
//
// Only dependencies in Debian's section "libs" are followed. A program's
// package depends on what its installation needs (debconf, adduser, perl,
// init-system-helpers) as well as on what the program loads, and the latter
// is what sits in "libs". So nobody has to keep a list of libraries, whose
// names change with every release (libssl3, libssl3t64). Whether anything was
// missed is seen afterwards in the files themselves: MissingLibraries.
func (a Apt) Resolve(ctx context.Context, want Request) ([]Package, error) {
	return a.remember(want, func() ([]Package, error) { return a.resolve(ctx, want) })
}

func (a Apt) resolve(ctx context.Context, want Request) ([]Package, error) {
	taken, seen := map[string]Package{}, map[string]bool{}
	for ask := want.Packages; len(ask) > 0; {
		slices.Sort(ask)
		known, err := a.show(ctx, slices.Compact(ask)...)
		if err != nil {
			return nil, err
		}
		for _, name := range ask {
			p, found := known[name]
			top := slices.Contains(want.Packages, name)
			if top && !found {
				return nil, step.WithHint(fmt.Errorf("apt knows no package %s", name), updateHint)
			}
			seen[name] = true
			if top || found && p.isLibrary() && want.Drop[name] == "" {
				taken[name] = p
			}
		}
		ask = unseen(taken, seen)
	}
	names := slices.Sorted(maps.Keys(taken))
	packages := make([]Package, len(names))
	for i, name := range names {
		packages[i] = taken[name]
	}
	return packages, nil
}

// isLibrary goes by the section, which may have an archive area before it
// ("contrib/libs").
func (p Package) isLibrary() bool {
	return p.Section == "libs" || strings.HasSuffix(p.Section, "/libs")
}

// unseen lists what the packages depend on and apt was not yet asked for. Of
// alternatives the first is taken, as apt does, unless another one was named.
func unseen(taken map[string]Package, seen map[string]bool) []string {
	names := map[string]bool{}
	for _, p := range taken {
		for _, alternatives := range p.Depends {
			if slices.ContainsFunc(alternatives, func(a string) bool { _, ok := taken[a]; return ok }) {
				continue
			}
			if !seen[alternatives[0]] {
				names[alternatives[0]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Kernel is the package with the kernel image behind a metapackage like
// linux-image-cloud-amd64; a package that holds an image stands for itself.
func (a Apt) Kernel(ctx context.Context, name string) (Package, error) {
	packages, err := a.remember(Request{Packages: []string{"kernel:" + name}}, func() ([]Package, error) {
		p, err := a.kernel(ctx, name)
		return []Package{p}, err
	})
	if err != nil {
		return Package{}, err
	}
	return packages[0], nil
}

func (a Apt) kernel(ctx context.Context, name string) (Package, error) {
	for range 3 { // a metapackage may name another one
		known, err := a.show(ctx, name)
		if err != nil {
			return Package{}, err
		}
		p, found := known[name]
		if !found {
			return Package{}, step.WithHint(fmt.Errorf("apt knows no kernel package %s", name), updateHint)
		}
		next := p.kernelImage()
		if next == "" {
			return p, nil
		}
		name = next
	}
	return Package{}, fmt.Errorf("the kernel packages lead from one to the next, the last of them %s", name)
}

// kernelImage is the kernel package that p stands for, or empty.
func (p Package) kernelImage() string {
	for _, alternatives := range p.Depends {
		if strings.HasPrefix(alternatives[0], "linux-image-") {
			return alternatives[0]
		}
	}
	return ""
}
