package deaddrop

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"psyopsOS/release"
	"psyopsOS/step"
)

// A Request says how the one side is made like the other.
type Request struct {
	Replace bool // what is on the other side and not here is removed, and a published tar may change
	Unlink  bool // with Replace: even a link, which nodes may ask for
}

// A Plan is what to do to make one side like the other: first everything is
// brought, in the order of Bring, then removed, in the order of Remove.
type Plan struct {
	Bring  []Entry // tars, signatures, links
	Remove []Entry // links, signatures, tars
	Same   int     // entries that are there already
	Stay   []Entry // links of the other side, to newer releases than ours

	forward bool // links do not go back, whatever happens until they are brought
}

// NewPlan compares two sides and holds every refusal.
func NewPlan(from, to Listing, r Request) (Plan, error) {
	if len(from) == 0 {
		return Plan{}, step.WithHint(errors.New("there is nothing to bring: the side that is the model is empty"), "look whether folder and bucket are the ones that you mean")
	}
	p := Plan{forward: !r.Replace}
	after := to.Clone()
	for _, key := range from.Keys() {
		have, there := to[key]
		switch {
		case there && same(from[key], have):
			p.Same++
		case p.forward && newer(have, from[key]):
			p.Stay = append(p.Stay, have)
			continue
		case there && !r.Replace && isTar(key):
			return Plan{}, step.WithHint(fmt.Errorf("%s is published already, with other contents", key),
				"a published release does not change: build it as a new one (SOURCE_DATE_EPOCH=$(date +%%s) tk mkimage ostar-dd), or use forcepush")
		default:
			p.Bring = append(p.Bring, from[key])
		}
		after[key] = from[key]
	}
	if r.Replace {
		for _, key := range to.Keys() {
			if _, kept := from[key]; !kept {
				p.Remove = append(p.Remove, to[key])
				delete(after, key)
			}
		}
	}
	p.order()
	return p, p.check(to, after, r)
}

// check refuses what would leave a link without what it needs, or keys that
// cannot be together, and the silent end of a link.
func (p Plan) check(to, after Listing, r Request) error {
	for _, e := range p.Remove {
		if e.IsLink() && !r.Unlink {
			return step.WithHint(fmt.Errorf("%s is not in the model and would be removed: nodes that ask for it would find nothing", e.Key),
				"bring it from the other side, or say --unlink")
		}
	}
	if err := checkKeys(after); err != nil {
		return err
	}
	// What nobody touches was as it is before.
	broken := checkLinks(after)
	if before := checkLinks(to); before != nil && broken != nil && before.Error() == broken.Error() {
		return nil
	}
	return broken
}

// order puts what others need first, and removes the other way round.
func (p *Plan) order() {
	slices.SortStableFunc(p.Bring, func(a, b Entry) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	slices.SortStableFunc(p.Remove, func(a, b Entry) int { return cmp.Compare(rankOf(b), rankOf(a)) })
}

// same reports whether nothing needs to be brought. What has no hash may be
// anything.
func same(a, b Entry) bool {
	if a.IsLink() || b.IsLink() {
		return a.Link == b.Link
	}
	return a.Size == b.Size && a.SHA256 == b.SHA256 && a.SHA256 != ""
}

// newer reports whether a link leads to a newer release than another: nodes
// refuse to go back, and a folder that is behind must not make them try.
func newer(a, b Entry) bool {
	if !a.IsLink() || !b.IsLink() {
		return false
	}
	family, version := familyOf(signed(a.Link))
	other, than := familyOf(signed(b.Link))
	return family != "" && family == other && version > than
}

func isTar(key string) bool {
	_, err := release.ParseName(path.Base(key))
	return err == nil
}

// IsEmpty reports whether there is nothing to do.
func (p Plan) IsEmpty() bool { return len(p.Bring) == 0 && len(p.Remove) == 0 }

// String is the plan for people, a line each.
func (p Plan) String() string {
	var b strings.Builder
	for _, e := range p.Bring {
		fmt.Fprintf(&b, "bring   %s\n", e)
	}
	for _, e := range p.Remove {
		fmt.Fprintf(&b, "remove  %s\n", e)
	}
	for _, e := range p.Stay {
		fmt.Fprintf(&b, "stays   %s, which is newer\n", e)
	}
	fmt.Fprintf(&b, "%d to bring (%s), %d to remove, %d the same\n", len(p.Bring), step.Bytes(bytesOf(p.Bring)), len(p.Remove), p.Same)
	return b.String()
}

// String is the entry as a listing shows it.
func (e Entry) String() string {
	if e.IsLink() {
		return fmt.Sprintf("%10s  %s -> %s", "link", e.Key, e.Link)
	}
	return fmt.Sprintf("%10s  %s", step.Bytes(e.Size), e.Key)
}

func bytesOf(entries []Entry) (n int64) {
	for _, e := range entries {
		n += e.Size
	}
	return n
}

// ofRank are those entries of a rank.
func ofRank(entries []Entry, r rank) []Entry {
	var of []Entry
	for _, e := range entries {
		if rankOf(e) == r {
			of = append(of, e)
		}
	}
	return of
}

// NewPrune is a plan that removes old releases: all but the newest keep of
// each kind and platform, and never what a link names.
func NewPrune(l Listing, keep int) (Plan, error) {
	if keep < 1 {
		return Plan{}, fmt.Errorf("keep %d releases: at least 1", keep)
	}
	families := map[string][]string{} // versions, of each folder, kind and platform
	named := map[string]bool{}
	for _, e := range l {
		if e.IsLink() {
			for _, key := range l.needed(e) {
				named[key] = true
			}
		} else if family, version := familyOf(e.Key); family != "" {
			families[family] = append(families[family], version)
		}
	}
	old := func(tar string) bool {
		family, version := familyOf(tar)
		versions := families[family]
		slices.Sort(versions)
		versions = slices.Compact(versions)
		return !named[tar] && len(versions) > keep && version < versions[len(versions)-keep]
	}
	var p Plan
	for _, key := range l.Keys() {
		e := l[key]
		if !e.IsLink() && !named[key] && (old(key) || old(about(key))) {
			p.Remove = append(p.Remove, e)
		} else {
			p.Same++
		}
	}
	p.order()
	return p, nil
}

// familyOf is what a tar is one of, and its version; empty for other keys.
func familyOf(key string) (family, version string) {
	name, err := release.ParseName(path.Base(key))
	if err != nil {
		return "", ""
	}
	return fmt.Sprint(path.Dir(key), " ", name.Kind, " ", name.Platform), name.Version
}
