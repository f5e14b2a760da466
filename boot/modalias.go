package boot

import (
	"slices"
	"strings"
)

// Aliases is modules.alias, prepared for finding the drivers of a device.
//
// A generic kernel has over 20,000 patterns and a machine some 200 devices.
// Nearly every pattern begins with the vendor and device that it is for, so
// patterns are kept by what stands before their first wildcard: a look-up asks
// for each length that occurs, and tries a handful of patterns instead of all.
type Aliases struct {
	entries []alias
	first   map[string]int32 // index of the first entry by prefix
	lengths [256]bool        // that occur of prefixes; the last stands for all from there on
}

type alias struct {
	pattern, module string
	next            int32 // of the same prefix, or none
}

const none = -1

// ParseAliases reads modules.alias: lines "alias PATTERN MODULE".
func ParseAliases(table string) Aliases {
	lines := strings.Count(table, "\n") + 1
	a := Aliases{entries: make([]alias, 0, lines), first: make(map[string]int32, lines)}
	for line := range strings.Lines(table) {
		line, ok := strings.CutPrefix(line, "alias ")
		if !ok {
			continue
		}
		if pattern, module, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			a.entries = append(a.entries, alias{underscores(pattern), module, none})
		}
	}
	for i := len(a.entries) - 1; i >= 0; i-- { // backwards, for chains in the table's order
		a.link(int32(i))
	}
	return a
}

func (a *Aliases) link(at int32) {
	prefix := a.entries[at].pattern
	for i := range len(prefix) { // strings.IndexAny makes a set of the four for each of 20,000 patterns
		if c := prefix[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			prefix = prefix[:i]
			break
		}
	}
	prefix = prefix[:min(len(prefix), len(a.lengths)-1)]
	if next, ok := a.first[prefix]; ok {
		a.entries[at].next = next
	}
	a.first[prefix] = at
	a.lengths[len(prefix)] = true
}

// Match lists the modules that say they drive the device with this modalias,
// each once, those with the vaguest patterns first.
func (a Aliases) Match(modalias string) []string {
	modalias = underscores(modalias)
	var modules []string
	for length := range min(len(modalias)+1, len(a.lengths)) {
		if !a.lengths[length] {
			continue
		}
		at, ok := a.first[modalias[:length]]
		for ; ok && at != none; at = a.entries[at].next {
			if !matchPattern(a.entries[at].pattern[length:], modalias[length:]) {
				continue
			}
			if name := moduleName(a.entries[at].module); !slices.Contains(modules, name) {
				modules = append(modules, name)
			}
		}
	}
	return modules
}

// underscores makes dashes outside brackets underscores: modprobe takes them
// for equal in a modalias as it does in a name.
func underscores(s string) string {
	if strings.IndexByte(s, '-') < 0 {
		return s
	}
	b, inBrackets := []byte(s), false
	for i, c := range b {
		switch {
		case c == '[':
			inBrackets = true
		case c == ']':
			inBrackets = false
		case c == '-' && !inBrackets:
			b[i] = '_'
		}
	}
	return string(b)
}
