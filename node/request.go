package node

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"psyopsOS/layout"
)

// A Request is what somebody wants a node to be.
type Request struct {
	Name     string
	Psynet   netip.Prefix // its address in the psynet, with the network's length
	Groups   []string     // of its psynet certificate
	MAC      string       // of the card that becomes psy0; empty: DHCP on the first wired one
	Hostname string       // the name that it is reached by, where that is another one
	Flavor   string       // what somebody wants to say of it
	Serial   string       // of the machine
}

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	wordForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$`)
)

// CheckName refuses what cannot name a node: the name is a host name, a file
// name in the store, and is read by shells.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("node name %q: want 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit", name)
	}
	if name == layout.Unconfigured {
		return fmt.Errorf("node name %q: that is what a node without a name is called", name)
	}
	return nil
}

// ParsePsynet reads an address in the psynet with its network's length.
// Certificates that every Nebula reads (version 1) have one IPv4 address.
func ParsePsynet(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("psynet address %q: want an address and its network's length, e.g. 10.77.0.5/24", text)
	}
	switch addr := p.Addr(); {
	case !addr.Is4():
		return p, fmt.Errorf("psynet address %s: the psynet is IPv4", text)
	case p.Bits() < 8 || p.Bits() > 30:
		return p, fmt.Errorf("psynet address %s: a network has between 8 and 30 bits", text)
	case addr == p.Masked().Addr():
		return p, fmt.Errorf("psynet address %s is the network's own; a node's is e.g. %s/%d", text, addr.Next(), p.Bits())
	case addr == broadcast(p):
		return p, fmt.Errorf("psynet address %s is the network's broadcast address", text)
	case addr.IsLoopback() || addr.IsMulticast() || addr.IsLinkLocalUnicast():
		return p, fmt.Errorf("psynet address %s is not one that a host can have in a network of its own", text)
	}
	return p, nil
}

func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// ParseGroups reads a list of psynet groups with commas between them, sorted
// and each once.
func ParseGroups(text string) ([]string, error) {
	var groups []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		if !wordForm.MatchString(word) {
			return nil, fmt.Errorf("psynet group %q: want 1 to 63 of A-Z a-z 0-9 . _ : -", word)
		}
		groups = append(groups, word)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// Checked is r in its canonical form, or why there can be no such node.
func (r Request) Checked() (Request, error) {
	if err := CheckName(r.Name); err != nil {
		return r, err
	}
	if _, err := ParsePsynet(r.Psynet.String()); err != nil {
		return r, err
	}
	if r.MAC != "" {
		mac, err := net.ParseMAC(r.MAC)
		if err != nil || len(mac) != 6 {
			return r, fmt.Errorf("MAC address %q: want six bytes, e.g. 52:54:00:12:34:56", r.MAC)
		}
		if mac[0]&1 != 0 || slices.Equal(mac, make(net.HardwareAddr, 6)) {
			return r, fmt.Errorf("MAC address %s: no card has it", mac)
		}
		r.MAC = mac.String()
	}
	if r.Hostname == "" {
		r.Hostname = r.Name
	}
	if !nameForm.MatchString(r.Hostname) && !domainForm(r.Hostname) {
		return r, fmt.Errorf("hostname %q: want a host name, with its domain or without", r.Hostname)
	}
	for what, text := range map[string]string{"flavor text": r.Flavor, "serial": r.Serial} {
		if len(text) > 1000 || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			return r, fmt.Errorf("%s %q: want one printable line of at most 1000 bytes", what, text)
		}
	}
	return r, nil
}

func domainForm(name string) bool {
	return len(name) <= 253 && !slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return !nameForm.MatchString(label) })
}
