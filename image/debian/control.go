package debian

import (
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
	for fields := range Paragraphs(text) {
		p, err := newPackage(fields)
		if err != nil {
			return nil, fmt.Errorf("package list: paragraph of %q: %w", p.Name, err)
		}
		packages = append(packages, p)
	}
	return packages, nil
}

func newPackage(fields map[string]string) (Package, error) {
	p := Package{
		Name:         fields["Package"],
		Version:      fields["Version"],
		Architecture: fields["Architecture"],
		Section:      fields["Section"],
		SHA256:       fields["SHA256"],
		Depends:      append(parseDepends(fields["Pre-Depends"]), parseDepends(fields["Depends"])...),
	}
	if size, found := fields["Size"]; found {
		var err error
		if p.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			return p, err
		}
	}
	return p, p.check()
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
