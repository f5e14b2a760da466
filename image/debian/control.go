package debian

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// A Package is one version of a Debian package, as the lists describe it.
type Package struct {
	Name         string
	Version      string
	Architecture string
	Section      string
	SHA256       string
	Size         int64
	Depends      [][]string // Pre-Depends and Depends: for each, the names that satisfy it
}

// String is name=version, as apt-get takes it and as a stage's key has it.
func (p Package) String() string { return p.Name + "=" + p.Version }

// ParsePackages reads the paragraphs that `apt-cache show` prints.
func ParsePackages(text []byte) ([]Package, error) {
	var packages []Package
	for paragraph := range bytes.SplitSeq(text, []byte("\n\n")) {
		if len(bytes.TrimSpace(paragraph)) == 0 {
			continue
		}
		p, err := parsePackage(paragraph)
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, nil
}

func parsePackage(paragraph []byte) (Package, error) {
	var p Package
	var err error
	lines := bufio.NewScanner(bytes.NewReader(paragraph))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), ":")
		if !found || strings.HasPrefix(key, " ") {
			continue
		}
		switch value = strings.TrimSpace(value); key {
		case "Package":
			p.Name = value
		case "Version":
			p.Version = value
		case "Architecture":
			p.Architecture = value
		case "Section":
			p.Section = value
		case "SHA256":
			p.SHA256 = value
		case "Size":
			p.Size, err = strconv.ParseInt(value, 10, 64)
		case "Pre-Depends", "Depends":
			p.Depends = append(p.Depends, parseDepends(value)...)
		}
	}
	if err == nil {
		err = lines.Err()
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return Package{}, fmt.Errorf("package list: paragraph of %q: %w", p.Name, err)
	}
	return p, nil
}

// check refuses names that could not come from a Debian archive: they are
// used as arguments of apt-get and as file names.
func (p Package) check() error {
	for field, value := range map[string]string{"Package": p.Name, "Version": p.Version, "Architecture": p.Architecture} {
		if value == "" || strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-:~_") != "" ||
			strings.HasPrefix(value, "-") || strings.HasPrefix(value, ".") {
			return fmt.Errorf("%s is %q", field, value)
		}
	}
	return nil
}

// parseDepends takes `a (>= 1) | b:any [amd64], c` apart.
func parseDepends(value string) [][]string {
	var all [][]string
	for clause := range strings.SplitSeq(value, ",") {
		var names []string
		for alternative := range strings.SplitSeq(clause, "|") {
			name, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
			name, _, _ = strings.Cut(name, ":")
			if name != "" {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			all = append(all, names)
		}
	}
	return all
}
