package alpine

import (
	"errors"
	"fmt"
	"slices"

	"psyopsOS/step"
)

// Resolve finds the packages that world asks for, with all that these depend
// on, each behind what it depends on where there is no circle.
//
// Packages of repositories that come first win where versions are equal; the
// newest version wins where they are not. There is no full search: where a
// choice turns out wrong it is struck out and all starts again, so that some
// worlds for which apk finds a way are refused here. What is given was
// checked: see Check.
func Resolve(world []Dependency, available []Package) ([]Package, error) {
	if err := unpinned(world, available); err != nil {
		return nil, err
	}
	u := newUniverse(world, available)
	struck := map[*Package]string{}
	for {
		a := attempt{universe: u, struck: struck, chosen: map[string]*Package{}, having: map[string][]*Package{}, asked: map[string][]ask{}}
		wrong, err := a.run(world)
		if err == nil {
			packages := a.ordered()
			return packages, Check(world, packages)
		}
		if wrong == nil {
			return nil, step.WithHint(err, "change the world file, or add the repository that has what is missing")
		}
		struck[wrong] = err.Error()
	}
}

// unpinned finds tags that no repository has.
func unpinned(world []Dependency, available []Package) error {
	for _, d := range world {
		if d.Tag != "" && !slices.ContainsFunc(available, func(p Package) bool { return p.Tag == d.Tag }) {
			return fmt.Errorf("world: %s: no repository has the tag %s", d, d.Tag)
		}
	}
	return nil
}

// A provider is a package that has a name, as its own or as provided.
type provider struct {
	pkg     *Package
	version string
	own     bool
}

type universe struct {
	byName    map[string][]provider
	installIf []*Package
	rank      map[*Package]int // place in the repositories
}

func newUniverse(world []Dependency, available []Package) *universe {
	u := &universe{byName: map[string][]provider{}, rank: map[*Package]int{}}
	tags := map[string]string{}
	for _, d := range world {
		tags[d.Name] = d.Tag
	}
	seen := map[string]bool{}
	for i := range available {
		p := &available[i]
		// A tagged repository serves only the names that world has with its tag.
		if seen[p.String()+"@"+p.Tag] || p.Tag != "" && tags[p.Name] != p.Tag {
			continue
		}
		seen[p.String()+"@"+p.Tag] = true
		u.rank[p] = i
		for _, has := range p.has() {
			u.byName[has.Name] = append(u.byName[has.Name], provider{p, has.Version, has.Name == p.Name})
		}
		if len(p.InstallIf) > 0 {
			u.installIf = append(u.installIf, p)
		}
	}
	return u
}

// has lists the package's own name and what it provides.
func (p Package) has() []Dependency {
	return append([]Dependency{{Name: p.Name, Operator: "=", Version: p.Version}}, p.Provides...)
}

// does reports whether p has what d names in a version that d names.
func (p Package) does(d Dependency) bool {
	return slices.ContainsFunc(p.has(), func(h Dependency) bool { return h.Name == d.Name && d.allows(h.Version, p.Checksum) })
}

// Check finds what packages lack: dependencies of theirs and of world that
// none of them meets, and pairs that exclude one another.
func Check(world []Dependency, packages []Package) error {
	asks := []ask{}
	for _, d := range world {
		asks = append(asks, ask{d, nil})
	}
	var errs []error
	for i := range packages {
		for _, d := range packages[i].Depends {
			asks = append(asks, ask{d, &packages[i]})
		}
		for j := range i {
			if name := clash(&packages[i], &packages[j]); name != "" {
				errs = append(errs, fmt.Errorf("%s and %s both have %s", packages[j], packages[i], name))
			}
		}
	}
	for _, want := range asks {
		met := slices.ContainsFunc(packages, func(p Package) bool {
			mine := want.by != nil && want.by.Name == p.Name
			return p.does(want.Dependency) && !(want.Conflict && mine)
		})
		if met == want.Conflict {
			errs = append(errs, errors.New(want.String()))
		}
	}
	return errors.Join(errs...)
}
