package alpine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"psyopsOS/step"
)

// An ask is a dependency and who has it; nil is the world.
type ask struct {
	Dependency
	by *Package
}

func (a ask) String() string {
	if a.by == nil {
		return "world wants " + a.Dependency.String()
	}
	return a.by.String() + " wants " + a.Dependency.String()
}

// An attempt is one try to choose packages.
type attempt struct {
	*universe
	struck map[*Package]string
	chosen map[string]*Package   // by its own name
	having map[string][]*Package // by what they have
	asked  map[string][]ask      // by name
	queue  []ask
}

// run chooses. When that fails it names a package which must not be chosen
// again; where it names none there is no way.
func (a *attempt) run(world []Dependency) (wrong *Package, err error) {
	a.add(nil, world)
	for {
		for len(a.queue) > 0 {
			next := a.queue[0]
			a.queue = a.queue[1:]
			if wrong, err := a.serve(next); err != nil {
				return wrong, err
			}
		}
		if !a.addInstallIf() {
			return nil, nil
		}
	}
}

func (a *attempt) add(by *Package, dependencies []Dependency) {
	for _, d := range dependencies {
		a.asked[d.Name] = append(a.asked[d.Name], ask{d, by})
		a.queue = append(a.queue, ask{d, by})
	}
}

// serve sees to it that one dependency is met.
func (a *attempt) serve(want ask) (wrong *Package, err error) {
	for _, p := range a.having[want.Name] {
		switch does := p.does(want.Dependency); {
		case want.Conflict && does && p != want.by:
			return p, fmt.Errorf("%s, and %s was chosen", want, p)
		case !want.Conflict && does:
			return nil, nil
		}
	}
	if want.Conflict {
		return nil, nil
	}
	// The name was chosen in another version, before this was asked.
	if p := a.chosen[want.Name]; p != nil {
		return p, fmt.Errorf("%s, and %s was chosen", want, p)
	}
	candidates, refused := a.candidates(want.Dependency)
	if len(candidates) == 0 {
		reason := "no repository has it"
		if len(refused) > 0 {
			reason = strings.Join(refused, "; ")
		}
		return want.by, fmt.Errorf("%s: %s", want, reason)
	}
	if err := ambiguous(want, candidates); err != nil {
		return want.by, err
	}
	a.choose(candidates[0].pkg)
	return nil, nil
}

func (a *attempt) choose(p *Package) {
	a.chosen[p.Name] = p
	for _, has := range p.has() {
		a.having[has.Name] = append(a.having[has.Name], p)
	}
	a.add(p, p.Depends)
}

// candidates are those that may serve d, the best first, and why others may
// not.
func (a *attempt) candidates(d Dependency) (good []provider, refused []string) {
	for _, c := range a.byName[d.Name] {
		reason := a.struck[c.pkg]
		if reason == "" {
			reason = a.against(c.pkg)
		}
		if reason == "" && !d.allows(c.version, c.pkg.Checksum) {
			reason = "not that version"
		}
		if reason != "" {
			refused = append(refused, fmt.Sprintf("not %s (%s)", c.pkg, reason))
			continue
		}
		good = append(good, c)
	}
	slices.SortStableFunc(good, a.better)
	const tell = 5
	return good, refused[:min(len(refused), tell)]
}

// against says why p may not be chosen beside what is chosen and asked for.
func (a *attempt) against(p *Package) string {
	if other := a.chosen[p.Name]; other != nil && other != p {
		return other.String() + " was chosen"
	}
	for _, has := range p.has() {
		for _, want := range a.asked[has.Name] {
			does := p.does(want.Dependency)
			if want.Conflict && does && want.by != p || !want.Conflict && !does && has.Name == p.Name {
				return want.String()
			}
		}
		for _, other := range a.having[has.Name] {
			if clash(p, other) != "" {
				return fmt.Sprintf("%s has %s too", other, has.Name)
			}
		}
	}
	for _, d := range p.Depends {
		for _, other := range a.having[d.Name] {
			if d.Conflict && other != p && other.does(d) {
				return fmt.Sprintf("it excludes %s", other)
			}
		}
	}
	return ""
}

// clash finds a name that both have in a version: only one package may.
func clash(p, other *Package) string {
	if p == other {
		return ""
	}
	for _, mine := range p.has() {
		for _, theirs := range other.has() {
			if mine.Name == theirs.Name && mine.Version != "" && theirs.Version != "" {
				return mine.Name
			}
		}
	}
	return ""
}

// better puts the newer version first, then what bears the name itself, then
// the priority that packages declare, then the repositories' order.
func (a *attempt) better(x, y provider) int {
	order := 0
	if x.version != "" && y.version != "" {
		order = Compare(y.version, x.version)
	}
	own := 0
	if x.own != y.own {
		own = 1
		if x.own {
			own = -1
		}
	}
	if x.version == "" || y.version == "" {
		order = own
	}
	return cmp.Or(order, own, cmp.Compare(y.pkg.Priority, x.pkg.Priority),
		Compare(y.pkg.Version, x.pkg.Version)*sameName(x, y), cmp.Compare(a.rank[x.pkg], a.rank[y.pkg]))
}

func sameName(x, y provider) int {
	if x.pkg.Name == y.pkg.Name {
		return 1
	}
	return 0
}

// ambiguous refuses to guess between packages that provide a name without a
// version and without a priority, as apk does.
func ambiguous(want ask, candidates []provider) error {
	first, names := candidates[0], map[string]bool{}
	if first.own || first.version != "" || first.pkg.Priority > 0 {
		return nil
	}
	for _, c := range candidates {
		names[c.pkg.Name] = true
	}
	if len(names) < 2 {
		return nil
	}
	return step.WithHint(fmt.Errorf("%s: any of %s would do", want, strings.Join(slices.Sorted(maps.Keys(names)), ", ")), "name one of them in the world file")
}

// addInstallIf chooses packages that go with what is chosen already.
func (a *attempt) addInstallIf() (added bool) {
	for _, p := range a.installIf {
		if a.chosen[p.Name] != nil || !a.all(p.InstallIf) {
			continue
		}
		candidates, _ := a.candidates(Dependency{Name: p.Name})
		if len(candidates) > 0 && candidates[0].pkg == p {
			a.choose(p)
			added = true
		}
	}
	return added
}

func (a *attempt) all(dependencies []Dependency) bool {
	for _, d := range dependencies {
		met := slices.ContainsFunc(a.having[d.Name], func(p *Package) bool { return p.does(d) })
		if met == d.Conflict {
			return false
		}
	}
	return true
}

// ordered lists the chosen packages, dependencies first.
func (a *attempt) ordered() []Package {
	var all []Package
	done := map[*Package]bool{}
	var visit func(p *Package)
	visit = func(p *Package) {
		if done[p] {
			return
		}
		done[p] = true
		for _, d := range p.Depends {
			for _, other := range a.having[d.Name] {
				if !d.Conflict && other.does(d) {
					visit(other)
				}
			}
		}
		all = append(all, *p)
	}
	for _, name := range slices.Sorted(maps.Keys(a.chosen)) {
		visit(a.chosen[name])
	}
	return all
}
