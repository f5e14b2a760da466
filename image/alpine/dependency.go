package alpine

import (
	"fmt"
	"strings"
)

// A Dependency is a name and which versions of it will do. What a package
// provides has the same form.
type Dependency struct {
	Name     string
	Operator string // "", "=", "<", "<=", ">", ">=", "~" (begins with), "><" (has this checksum)
	Version  string
	Conflict bool   // none of these may be there
	Tag      string // only in a world file: from the repository with this tag
}

// String is the form of indexes and world files.
func (d Dependency) String() string {
	s := d.Name + d.Operator + d.Version
	if d.Conflict {
		s = "!" + s
	}
	if d.Tag != "" {
		s += "@" + d.Tag
	}
	return s
}

// ParseDependency reads one word: name, name>=1.2, !name, name=1.2-r3@tag,
// so:libc.musl-x86_64.so.1, /bin/sh.
func ParseDependency(word string) (d Dependency, err error) {
	rest, conflict := strings.CutPrefix(word, "!")
	d.Conflict = conflict
	rest, d.Tag, _ = strings.Cut(rest, "@")
	at := strings.IndexAny(rest, "<>=~")
	if at < 0 {
		at = len(rest)
	}
	d.Name, rest = rest[:at], rest[at:]
	d.Version = strings.TrimLeft(rest, "<>=~")
	d.Operator, err = operator(rest[:len(rest)-len(d.Version)])
	if err != nil || !isDependencyName(d.Name) || (d.Operator == "") != (d.Version == "") ||
		strings.ContainsAny(d.Version+d.Tag, " \t\r\n\x00<>=@") || strings.HasSuffix(word, "@") {
		return Dependency{}, fmt.Errorf("%.60q is no dependency", word)
	}
	return d, nil
}

func isDependencyName(name string) bool {
	return name != "" && len(name) < 512 && strings.Trim(name, nameLetters+":/[](),%^&*#$?;'\"{}|\\`") == ""
}

func operator(text string) (string, error) {
	switch text {
	case "", "=", "<", "<=", ">", ">=", "~", "><":
		return text, nil
	case "~=", "=~":
		return "~", nil
	}
	return "", fmt.Errorf("%.60q compares nothing", text)
}

// parseDependencies reads words with blanks between them.
func parseDependencies(text string) ([]Dependency, error) {
	var all []Dependency
	for word := range strings.FieldsSeq(text) {
		d, err := ParseDependency(word)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func renderDependencies(all []Dependency) string {
	words := make([]string, len(all))
	for i, d := range all {
		words[i] = d.String()
	}
	return strings.Join(words, " ")
}

// allows reports whether version will do, apart from Conflict. A thing that
// is provided without a version does for no dependency on a version.
func (d Dependency) allows(version string, sum Checksum) bool {
	order := Compare(version, d.Version)
	switch d.Operator {
	case "":
		return true
	case "><":
		return sum.String() == d.Version
	}
	if version == "" {
		return false
	}
	switch d.Operator {
	case "=":
		return order == 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	}
	return compare(version, d.Version, true) == 0
}

// ParseWorld reads a world file: dependencies, and comments behind #.
func ParseWorld(text []byte) ([]Dependency, error) {
	var world []Dependency
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		some, err := parseDependencies(line)
		if err != nil {
			return nil, fmt.Errorf("world, line %d: %w", number, err)
		}
		world = append(world, some...)
	}
	return world, nil
}

// RenderWorld is the file for these dependencies.
func RenderWorld(world []Dependency) []byte {
	var b strings.Builder
	for _, d := range world {
		b.WriteString(d.String() + "\n")
	}
	return []byte(b.String())
}
