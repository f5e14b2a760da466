package netif

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"psyopsOS/step"
)

// A Rename is one act of a plan.
type Rename struct {
	Index    int
	From, To string
	Up       bool // take it down for the rename, and up again
	Spare    bool // To is a name between two others, in a swap
}

// noMAC is lo's address, and that of links that have none: it selects nobody.
const noMAC = "00:00:00:00:00:00"

// Plan decides which links are renamed, in which order, so that every link
// that want names has its name and no link is lost. The warnings are of lines
// that could not be followed.
func Plan(have []Link, want Mactab) ([]Rename, []error) {
	names, warnings := assign(have, want)
	displace(have, names)
	return order(have, names), warnings
}

// assign gives each line a link, the last lines first: they win over earlier
// ones for a link, and for a name. A line names one link.
func assign(have []Link, want Mactab) (names map[int]string, warnings []error) {
	names = map[int]string{}
	for _, rule := range slices.Backward(want) {
		if err := checkName(rule.Name); err != nil {
			warnings = append(warnings, fmt.Errorf("mactab line %d: %w", rule.Line, err))
			continue
		}
		if err := assignRule(have, rule, names); err != nil {
			warnings = append(warnings, fmt.Errorf("mactab line %d (%s): %w", rule.Line, rule, err))
		}
	}
	slices.Reverse(warnings)
	return names, warnings
}

func assignRule(have []Link, rule Rule, names map[int]string) error {
	var matching []string
	for _, link := range have {
		if !rule.matches(link) {
			continue
		}
		matching = append(matching, link.Name)
		if names[link.Index] == "" && !slices.Contains(slices.Collect(maps.Values(names)), rule.Name) {
			names[link.Index] = rule.Name
			return nil
		}
	}
	if matching == nil {
		return step.WithHint(fmt.Errorf("no network link matches; found %s", describe(have)),
			"correct mactab on psyops-secret, or look whether the link's driver was loaded")
	}
	return step.WithHint(fmt.Errorf("a later line has named %s or taken the name", strings.Join(matching, ", ")),
		"a link and a name belong in one line of mactab each")
}

func (r Rule) matches(l Link) bool {
	if l.Loopback || l.Name == "lo" || len(r.Selectors) == 0 {
		return false
	}
	for _, s := range r.Selectors {
		switch s.Key {
		case "mac":
			if s.Value == noMAC || s.Value != l.Address() {
				return false
			}
		case "bus":
			if !slices.Contains(l.Buses, s.Value) {
				return false
			}
		case "driver":
			if s.Value != l.Driver {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// describe lists the links that a mactab could name.
func describe(links []Link) string {
	var all []string
	for _, l := range links {
		if !l.Loopback {
			all = append(all, l.String())
		}
	}
	if all == nil {
		return "none but lo"
	}
	return strings.Join(all, ", ")
}

// displace gives each link that no line names, and whose own name goes to
// another, the name that some named link leaves. There are always enough: who
// takes its name leaves one.
func displace(have []Link, names map[int]string) {
	taken := map[string]bool{}
	for _, name := range names {
		taken[name] = true
	}
	var free []string
	var homeless []int
	for _, l := range have {
		_, named := names[l.Index]
		switch {
		case named && !taken[l.Name]:
			free = append(free, l.Name)
		case !named && taken[l.Name]:
			homeless = append(homeless, l.Index)
		}
	}
	for i, index := range homeless {
		names[index] = free[i]
	}
}

// order lists the renames so that each name is free when it is taken. Where
// the rest goes in a circle, one link waits on a spare name.
func order(have []Link, names map[int]string) []Rename {
	inUse, avoid := map[string]bool{}, map[string]bool{}
	var pending []Rename
	for _, l := range have {
		inUse[l.Name], avoid[l.Name] = true, true
		if name := names[l.Index]; name != "" && name != l.Name {
			avoid[name] = true
			pending = append(pending, Rename{Index: l.Index, From: l.Name, To: name, Up: l.Up})
		}
	}
	var plan []Rename
	do := func(r Rename) {
		plan = append(plan, r)
		delete(inUse, r.From)
		inUse[r.To] = true
	}
	// A link moves twice at most: PID 1 must end even where two links have one
	// name, which the kernel does not allow.
	for len(pending) > 0 && len(plan) < 2*len(have) {
		i := slices.IndexFunc(pending, func(r Rename) bool { return !inUse[r.To] })
		if i >= 0 {
			do(pending[i])
			pending = slices.Delete(pending, i, i+1)
			continue
		}
		r := &pending[0]
		spare := Rename{Index: r.Index, From: r.From, To: spareName(avoid), Up: r.Up, Spare: true}
		avoid[spare.To] = true
		do(spare)
		r.From = spare.To
	}
	return plan
}

// spareName is a name that nobody has or will have.
func spareName(avoid map[string]bool) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("spare%d", i); !avoid[name] {
			return name
		}
	}
}
