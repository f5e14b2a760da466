// Package netiftest has a fake of the kernel's network links.
package netiftest

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"psyopsOS/netif"
)

// Links are links that behave as the kernel's: a name is there once, and only
// a link that is down can be renamed. It implements netif.Links.
type Links struct {
	Links  []netif.Link
	Broken error            // of List
	Fails  map[string]error // of a rename to this name
	Acts   []string         // what was done, in order
}

// List gives all links, by index.
func (l *Links) List(askDrivers bool) ([]netif.Link, error) {
	all := slices.Clone(l.Links)
	slices.SortFunc(all, func(a, b netif.Link) int { return cmp.Compare(a.Index, b.Index) })
	return all, l.Broken
}

func (l *Links) find(index int) (*netif.Link, error) {
	i := slices.IndexFunc(l.Links, func(link netif.Link) bool { return link.Index == index })
	if i < 0 {
		return nil, unix.ENODEV
	}
	return &l.Links[i], nil
}

// Rename refuses what the kernel refuses.
func (l *Links) Rename(index int, name string) error {
	link, err := l.find(index)
	switch {
	case err != nil:
		return err
	case name == link.Name:
		return nil
	case l.Fails[name] != nil:
		return l.Fails[name]
	case link.Up:
		return unix.EBUSY
	case name == "" || len(name) > 15:
		return unix.EINVAL
	case slices.ContainsFunc(l.Links, func(other netif.Link) bool { return other.Name == name }):
		return unix.EEXIST
	}
	l.Acts = append(l.Acts, link.Name+" to "+name)
	link.Name = name
	return nil
}

// SetUp sets a link up or down.
func (l *Links) SetUp(index int, up bool) error {
	link, err := l.find(index)
	if err != nil {
		return err
	}
	l.Acts = append(l.Acts, map[bool]string{true: link.Name + " up", false: link.Name + " down"}[up])
	link.Up = up
	return nil
}
