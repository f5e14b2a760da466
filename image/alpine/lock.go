package alpine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"psyopsOS/step"
)

// A Lock holds the packages of a userland as they were once, so that the next
// build has the same ones. The SHA-256 is of the whole file: the index has
// only a SHA-1.
type Lock struct {
	Packages []Locked
	// Apart are packages of a kernel and of firmware, which go into no
	// userland and whose dependencies nobody follows.
	Apart []Locked
}

// Locked is one package of a lock.
type Locked struct {
	Name, Version, Arch string
	Checksum            Checksum
	SHA256              string
	Repository          string
}

func (l Locked) String() string { return l.Name + "-" + l.Version }

const lockHeader = "# psyopsOS packages of Alpine, 1: name version architecture checksum SHA-256 repository\n"

// apartWord begins the line of a package that is apart.
const apartWord = "apart "

// NewLock is the lock of these files, some of which may be apart.
func NewLock(files, apart []File) (l Lock, err error) {
	if l.Packages, err = lockAll(files); err != nil {
		return Lock{}, err
	}
	l.Apart, err = lockAll(apart)
	return l, err
}

func lockAll(files []File) (all []Locked, err error) {
	for _, f := range files {
		sum, err := hashFile(f.name)
		if err != nil {
			return nil, err
		}
		all = append(all, Locked{f.Name, f.Version, f.Arch, f.Checksum, sum, f.Repository})
	}
	slices.SortFunc(all, func(a, b Locked) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// Render is the lock's file.
func (l Lock) Render() []byte {
	b := bytes.NewBufferString(lockHeader)
	for _, p := range l.Packages {
		p.render(b, "")
	}
	for _, p := range l.Apart {
		p.render(b, apartWord)
	}
	return b.Bytes()
}

func (l Locked) render(b *bytes.Buffer, before string) {
	fmt.Fprintln(b, before+l.Name, l.Version, l.Arch, l.Checksum, l.SHA256, l.Repository)
}

// With is the lock with more packages; of one name the new one is taken.
func (l Lock) With(more Lock) Lock {
	return Lock{joined(l.Packages, more.Packages), joined(l.Apart, more.Apart)}
}

func joined(old, more []Locked) []Locked {
	byName := map[string]Locked{}
	for _, p := range slices.Concat(old, more) {
		byName[p.Name] = p
	}
	var all []Locked
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, byName[name])
	}
	return all
}

// Against refuses a lock that has another file than old has under the same
// name and version: Alpine never builds a version twice.
func (l Lock) Against(old Lock) error {
	sums := map[string]string{}
	for _, p := range slices.Concat(old.Packages, old.Apart) {
		sums[p.String()+"."+p.Arch] = p.SHA256
	}
	for _, p := range slices.Concat(l.Packages, l.Apart) {
		if was := sums[p.String()+"."+p.Arch]; was != "" && was != p.SHA256 {
			return step.WithHint(fmt.Errorf("lock: %s has the SHA-256 %s, and %s was locked", p, p.SHA256, was),
				"a version is built once: if you made it anew yourself, take its line out of the lock file")
		}
	}
	return nil
}

// ParseLock reads a lock's file.
func ParseLock(text []byte) (l Lock, err error) {
	rest, ok := strings.CutPrefix(string(text), lockHeader)
	if !ok {
		return l, errors.New("lock: the first line is another one")
	}
	number := 1
	for line := range strings.Lines(rest) {
		number++
		line, apart := strings.CutPrefix(line, apartWord)
		list := &l.Packages
		if apart {
			list = &l.Apart
		}
		p, err := parseLocked(strings.Split(strings.TrimSuffix(line, "\n"), " "))
		if n := len(*list); err == nil && n > 0 && p.Name <= (*list)[n-1].Name {
			err = fmt.Errorf("%s is twice there or not in order", p.Name)
		}
		if err != nil {
			return Lock{}, fmt.Errorf("lock, line %d: %w", number, err)
		}
		*list = append(*list, p)
	}
	return l, nil
}

func parseLocked(words []string) (p Locked, err error) {
	if len(words) != 6 {
		return p, fmt.Errorf("%d words and not 6", len(words))
	}
	if p.Checksum, err = ParseChecksum(words[3]); err != nil {
		return p, err
	}
	p.Name, p.Version, p.Arch, p.SHA256, p.Repository = words[0], words[1], words[2], words[4], words[5]
	if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != sha256.Size || strings.ToLower(p.SHA256) != p.SHA256 {
		return p, fmt.Errorf("%.80q is no SHA-256", p.SHA256)
	}
	return p, Package{Name: p.Name, Version: p.Version, Arch: p.Arch}.check()
}

// pinned asks for each package in its version. Dependencies of world are
// among them, and whether they fit was checked.
func pinned(world []Dependency, packages []Package) []Dependency {
	tags := map[string]string{}
	for _, d := range world {
		tags[d.Name] = d.Tag
	}
	var all []Dependency
	for _, p := range packages {
		all = append(all, Dependency{Name: p.Name, Operator: "=", Version: p.Version, Tag: tags[p.Name]})
	}
	return all
}

func (l Locked) find(available []Package) (Package, error) {
	has := ""
	for _, p := range available {
		if p.Name != l.Name || p.Arch != l.Arch {
			continue
		}
		switch {
		case p.Version != l.Version:
			has = "; the repository has " + p.Version
			if Compare(p.Version, l.Version) < 0 {
				has += ", which is older"
			}
		case p.Checksum == l.Checksum:
			return p, nil
		default:
			return Package{}, fmt.Errorf("%s is another package than the one locked: its checksum is %s and not %s", l, p.Checksum, l.Checksum)
		}
	}
	return Package{}, fmt.Errorf("%s is in no repository%s", l, has)
}

// A Change is a package whose version is another one now; one of the versions
// is empty where the package came or went.
type Change struct {
	Name string `json:"name"`
	Was  string `json:"was,omitempty"`
	Is   string `json:"is,omitempty"`
}

// Older reports whether the package went back in time: a repository that
// offers old packages is either repaired in a hurry or played back by
// somebody.
func (c Change) Older() bool { return c.Was != "" && c.Is != "" && Compare(c.Is, c.Was) < 0 }

func (c Change) String() string {
	switch {
	case c.Was == "":
		return fmt.Sprintf("%s %s is new", c.Name, c.Is)
	case c.Is == "":
		return fmt.Sprintf("%s %s is not needed any more", c.Name, c.Was)
	case c.Older():
		return fmt.Sprintf("%s %s → %s, which is OLDER", c.Name, c.Was, c.Is)
	}
	return fmt.Sprintf("%s %s → %s", c.Name, c.Was, c.Is)
}

// Outdated tells the lock from what would be locked now, by name.
func (l Lock) Outdated(packages, apart []Package) []Change {
	return append(changed(l.Packages, packages), changed(l.Apart, apart)...)
}

func changed(was []Locked, is []Package) []Change {
	changes := map[string]Change{}
	for _, p := range was {
		changes[p.Name] = Change{p.Name, p.Version, ""}
	}
	for _, p := range is {
		changes[p.Name] = Change{p.Name, changes[p.Name].Was, p.Version}
	}
	var all []Change
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		if c := changes[name]; c.Was != c.Is {
			all = append(all, c)
		}
	}
	return all
}

// Newest are the newest versions of the packages that a pattern names
// (linux-lts, linux-firmware-*), without what they depend on: a kernel's
// package wants tools that an image has no use for.
func Newest(pattern string, available []Package) ([]Package, error) {
	best := map[string]Package{}
	for _, p := range available {
		matches, err := path.Match(pattern, p.Name)
		if err != nil {
			return nil, fmt.Errorf("package %q: %w", pattern, err)
		}
		if other, have := best[p.Name]; matches && p.Tag == "" && (!have || Compare(p.Version, other.Version) > 0) {
			best[p.Name] = p
		}
	}
	if len(best) == 0 {
		return nil, step.WithHint(fmt.Errorf("no repository has %s", pattern), "add the repository that has it")
	}
	var all []Package
	for _, name := range slices.Sorted(maps.Keys(best)) {
		all = append(all, best[name])
	}
	return all, nil
}

// ApartLike are the lock's packages apart that a pattern names.
func (l Lock) ApartLike(pattern string) []Locked {
	return slices.DeleteFunc(slices.Clone(l.Apart), func(p Locked) bool {
		matches, err := path.Match(pattern, p.Name)
		return err != nil || !matches
	})
}
