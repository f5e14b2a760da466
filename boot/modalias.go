package boot

import (
	"fmt"
	"io"
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
	byPrefix map[string][]alias
	lengths  []int // of the prefixes, ascending
}

type alias struct{ pattern, module string }

// tableLimit bounds one table of a module tree; the largest seen has 1.3 MB.
const tableLimit = 64 << 20

// ParseAliases reads modules.alias: lines "alias PATTERN MODULE".
func ParseAliases(r io.Reader) (Aliases, error) {
	text, err := readTable(r)
	if err != nil {
		return Aliases{}, err
	}
	a := Aliases{byPrefix: map[string][]alias{}}
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(line, "alias ")
		if !ok {
			continue
		}
		// The pattern may not hold blanks, the module cannot.
		pattern, module, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok {
			a.add(alias{underscores(pattern), moduleName(strings.TrimSpace(module))})
		}
	}
	a.lengths = prefixLengths(a.byPrefix)
	return a, nil
}

func readTable(r io.Reader) (string, error) {
	var text strings.Builder
	n, err := io.Copy(&text, io.LimitReader(r, tableLimit+1))
	if err == nil && n > tableLimit {
		err = fmt.Errorf("more than %d bytes", tableLimit)
	}
	return text.String(), err
}

func (a Aliases) add(entry alias) {
	prefix := entry.pattern
	if i := strings.IndexAny(prefix, `*?[\`); i >= 0 {
		prefix = prefix[:i]
	}
	a.byPrefix[prefix] = append(a.byPrefix[prefix], entry)
}

func prefixLengths(byPrefix map[string][]alias) []int {
	var occurs []bool
	for prefix := range byPrefix {
		for len(occurs) <= len(prefix) {
			occurs = append(occurs, false)
		}
		occurs[len(prefix)] = true
	}
	var lengths []int
	for length, occurs := range occurs {
		if occurs {
			lengths = append(lengths, length)
		}
	}
	return lengths
}

// Match lists the modules that say they drive the device with this modalias,
// each once, the vaguest patterns first.
func (a Aliases) Match(modalias string) []string {
	modalias = underscores(modalias)
	var modules []string
	for _, length := range a.lengths {
		if length > len(modalias) {
			break
		}
		for _, entry := range a.byPrefix[modalias[:length]] {
			if !slices.Contains(modules, entry.module) && matchPattern(entry.pattern[length:], modalias[length:]) {
				modules = append(modules, entry.module)
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
