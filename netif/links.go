package netif

import (
	"fmt"
	"slices"
)

// A Link is a network link as the kernel knows it.
type Link struct {
	Index     int
	Name      string
	MAC       string // as aa:bb:cc:dd:ee:ff; empty where the link has none
	Permanent string // the one that the card was made with, where its driver tells
	Driver    string
	Buses     []string // where the card is, by each name that the kernel has for it
	Up        bool
	Loopback  bool
	Physical  bool // there is a device behind it
	Wireless  bool
}

// Address is the MAC address that selects the link: one that was set by
// somebody must not lead astray.
func (l Link) Address() string {
	if l.Permanent != "" {
		return l.Permanent
	}
	return l.MAC
}

func (l Link) String() string {
	text := l.Name
	for _, s := range []string{l.Address(), l.Driver} {
		if s != "" {
			text += " " + s
		}
	}
	return text
}

// Links is what this package asks of the kernel.
type Links interface {
	// List gives all links, by index. Their drivers are asked what they call
	// themselves and where their cards are only where somebody wants to know:
	// else Driver and Buses are what sysfs says.
	List(askDrivers bool) ([]Link, error)
	// Rename gives a link that is down another name.
	Rename(index int, name string) error
	SetUp(index int, up bool) error
}

// FirstWired is the first link with a card that is not a wireless one.
func FirstWired(links []Link) (Link, bool) {
	i := slices.IndexFunc(links, func(l Link) bool { return l.Physical && !l.Wireless && !l.Loopback })
	if i < 0 {
		return Link{}, false
	}
	return links[i], true
}

// Apply carries out a plan for the links that there are, and gives them as they
// are then. One link that keeps its name does not keep the others from theirs; a
// link that a swap left on its spare name gets its old one back where nobody has
// it.
func Apply(links Links, have []Link, plan []Rename) (now []Link, errs []error) {
	now = slices.Clone(have)
	rename := func(r Rename) error {
		err := rename(links, r)
		if i := slices.IndexFunc(now, func(l Link) bool { return l.Index == r.Index }); i >= 0 && err == nil {
			now[i].Name = r.To
		}
		return err
	}
	stranded := map[int]Rename{} // on a spare name, by index; From is the old name
	for _, r := range plan {
		if old, ok := stranded[r.Index]; ok {
			r.From = old.From
		}
		err := rename(r)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("rename link %s to %s: %w", r.From, r.To, err))
		case r.Spare:
			stranded[r.Index] = r
		default:
			delete(stranded, r.Index)
		}
	}
	for _, r := range stranded {
		if err := rename(Rename{Index: r.Index, To: r.From, Up: r.Up}); err != nil {
			errs = append(errs, fmt.Errorf("rename link %s back to %s: %w", r.To, r.From, err))
		}
	}
	return now, errs
}

// rename takes a link down for it, which the kernel wants, and up again.
func rename(links Links, r Rename) error {
	if !r.Up {
		return links.Rename(r.Index, r.To)
	}
	if err := links.SetUp(r.Index, false); err != nil {
		return err
	}
	err := links.Rename(r.Index, r.To)
	if up := links.SetUp(r.Index, true); err == nil {
		err = up
	}
	return err
}
