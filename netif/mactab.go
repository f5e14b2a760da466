// Package netif gives network links the names that a node's mactab wants for
// them: eth0 becomes psy0, whatever order the drivers found the cards in.
//
// ParseMactab reads the file (FORMATS.md section 6), Plan decides, Apply
// renames. Links is the one boundary to the kernel; Linux is the real one,
// over netlink, netiftest has the fake. It obeys no kernel words.
package netif

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"psyopsOS/step"
)

// A Mactab is a parsed mactab, in the order of its lines.
type Mactab []Rule

// A Rule is one line: the name for a link that all selectors match.
type Rule struct {
	Line      int // from 1; 0 where it came from no file
	Name      string
	Selectors []Selector
}

// A Selector asks for a property of a link.
type Selector struct {
	Key   string // mac, bus or driver
	Value string // a MAC as aa:bb:cc:dd:ee:ff
}

// mactabLimit bounds what is read of a mactab: room for 1,000 links.
const mactabLimit = 64 << 10

// ParseMactab reads a mactab in the syntax of busybox nameif. A line that it
// cannot understand is left out and told; the others hold.
func ParseMactab(text string) (Mactab, []error) {
	if len(text) > mactabLimit {
		return nil, []error{step.WithHint(fmt.Errorf("mactab has %d bytes, more than %d: nothing of it is used", len(text), mactabLimit),
			"is it a mactab at all? a line is a name and a MAC address")}
	}
	var table Mactab
	var problems []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		rule, err := parseRule(fields)
		if err != nil {
			problems = append(problems, step.WithHint(fmt.Errorf("mactab line %d is not used: %w", number, err),
				"a line is a name and selectors, such as: psy0 mac=52:54:00:12:34:56 driver=virtio_net"))
			continue
		}
		rule.Line = number
		table = append(table, rule)
	}
	return table, problems
}

// AsksDrivers reports whether a line selects by what only a link's driver tells
// for certain.
func (m Mactab) AsksDrivers() bool {
	return slices.ContainsFunc(m, func(r Rule) bool {
		return slices.ContainsFunc(r.Selectors, func(s Selector) bool { return s.Key != "mac" })
	})
}

func parseRule(fields []string) (Rule, error) {
	rule := Rule{Name: fields[0]}
	if err := checkName(rule.Name); err != nil {
		return rule, err
	}
	if len(fields) == 1 {
		return rule, fmt.Errorf("%s has no selector", rule.Name)
	}
	for _, field := range fields[1:] {
		s, err := parseSelector(field)
		if err != nil {
			return rule, err
		}
		rule.Selectors = append(rule.Selectors, s)
	}
	return rule, nil
}

func parseSelector(field string) (Selector, error) {
	key, value, ok := strings.Cut(field, "=")
	if !ok {
		key, value = "mac", field
	}
	switch {
	case strings.HasPrefix(field, "#"):
		return Selector{}, fmt.Errorf("%q begins a comment, which needs a line of its own", field)
	case key == "mac":
		mac, err := parseMAC(value)
		return Selector{key, mac}, err
	case key == "bus" || key == "driver":
		if value == "" {
			return Selector{}, fmt.Errorf("%s is empty", field)
		}
		return Selector{key, value}, nil
	}
	return Selector{}, fmt.Errorf("unknown selector %q: want mac=, bus= or driver=", field)
}

// parseMAC reads six bytes in hexadecimal, a leading zero of each may be
// missing, and renders them as the kernel does.
func parseMAC(s string) (string, error) {
	groups := strings.Split(s, ":")
	if len(groups) != 6 {
		return "", fmt.Errorf("%q is not a MAC address", s)
	}
	for i, g := range groups {
		n, err := strconv.ParseUint(g, 16, 8)
		if err != nil || len(g) > 2 {
			return "", fmt.Errorf("%q is not a MAC address", s)
		}
		groups[i] = fmt.Sprintf("%02x", n)
	}
	return strings.Join(groups, ":"), nil
}

// checkName refuses what the kernel would refuse or understand as something
// else: % begins a number to fill in, all and default are taken in /proc/sys.
func checkName(name string) error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:%", r) }
	switch {
	case name == "lo":
		return fmt.Errorf("lo is the loopback link and keeps its name")
	case name == "", name == ".", name == "..", name == "all", name == "default", strings.ContainsFunc(name, bad):
		return fmt.Errorf("%q cannot name a link", name)
	case len(name) > maxName:
		return fmt.Errorf("%q cannot name a link: it has %d characters, more than %d", name, len(name), maxName)
	}
	return nil
}

const maxName = 15 // IFNAMSIZ without the final zero

// String renders the rule as a line of a mactab.
func (r Rule) String() string {
	line := r.Name
	for _, s := range r.Selectors {
		line += " " + s.Key + "=" + s.Value
	}
	return line
}

// String renders the table as a mactab.
func (m Mactab) String() string {
	var b strings.Builder
	for _, r := range m {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}
