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
	"slices"
	"strings"

	"psyopsOS/step"
)

// A Lock holds the packages of a userland as they were once, so that the next
// build has the same ones. The SHA-256 is of the whole file: the index has
// only a SHA-1.
type Lock struct{ Packages []Locked }

// Locked is one package of a lock.
type Locked struct {
	Name, Version, Arch string
	Checksum            Checksum
	SHA256              string
	Repository          string
}

func (l Locked) String() string { return l.Name + "-" + l.Version }

const lockHeader = "# psyopsOS packages of Alpine, 1: name version architecture checksum SHA-256 repository\n"

// NewLock is the lock of these files.
func NewLock(files []File) (Lock, error) {
	var l Lock
	for _, f := range files {
		sum, err := hashFile(f.name)
		if err != nil {
			return Lock{}, err
		}
		l.Packages = append(l.Packages, Locked{f.Name, f.Version, f.Arch, f.Checksum, sum, f.Repository})
	}
	slices.SortFunc(l.Packages, func(a, b Locked) int { return strings.Compare(a.Name, b.Name) })
	return l, nil
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
		fmt.Fprintln(b, p.Name, p.Version, p.Arch, p.Checksum, p.SHA256, p.Repository)
	}
	return b.Bytes()
}

// ParseLock reads a lock's file.
func ParseLock(text []byte) (l Lock, err error) {
	rest, ok := strings.CutPrefix(string(text), lockHeader)
	if !ok {
		return l, errors.New("lock: the first line is another one")
	}
	number, last := 1, ""
	for line := range strings.Lines(rest) {
		number++
		p, err := parseLocked(strings.Split(strings.TrimSuffix(line, "\n"), " "))
		if err == nil && p.Name <= last {
			err = fmt.Errorf("%s is twice there or not in order", p.Name)
		}
		if err != nil {
			return Lock{}, fmt.Errorf("lock, line %d: %w", number, err)
		}
		last = p.Name
		l.Packages = append(l.Packages, p)
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

// Pick finds the lock's packages among those available, and refuses others of
// the same name and version.
func (l Lock) Pick(world []Dependency, available []Package) ([]Package, error) {
	var picked []Package
	var errs []error
	for _, want := range l.Packages {
		p, err := want.find(available)
		errs = append(errs, err)
		picked = append(picked, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, step.WithHint(fmt.Errorf("lock: %w", err), "`tk outdated` shows what changed; `tk lock` takes it over")
	}
	if err := Check(world, picked); err != nil {
		return nil, step.WithHint(fmt.Errorf("lock: these packages are not what the world file asks for: %w", err), "`tk lock` makes a new one")
	}
	// The order is that of the dependencies, as without a lock.
	return Resolve(pinned(world, picked), picked)
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

// Verify finds files that are not what was locked.
func (l Lock) Verify(files []File) error {
	now, err := NewLock(files)
	if err != nil {
		return err
	}
	sums := map[string]string{}
	for _, p := range l.Packages {
		sums[p.String()] = p.SHA256
	}
	for _, p := range now.Packages {
		if sums[p.String()] != p.SHA256 {
			return fmt.Errorf("lock: %s has the SHA-256 %s, and %q was locked", p, p.SHA256, sums[p.String()])
		}
	}
	return nil
}

// A Change is a package whose version is another one now; one of the versions
// is empty where the package came or went.
type Change struct{ Name, Was, Is string }

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
func (l Lock) Outdated(now []Package) []Change {
	changes := map[string]Change{}
	for _, p := range l.Packages {
		changes[p.Name] = Change{p.Name, p.Version, ""}
	}
	for _, p := range now {
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

// Newest is the newest version of one package, without what it depends on: a
// kernel's package wants tools that an image has no use for.
func Newest(want Dependency, available []Package) (Package, error) {
	var best Package
	for _, p := range available {
		if p.Name == want.Name && p.Tag == want.Tag && want.allows(p.Version, p.Checksum) && (best.Name == "" || Compare(p.Version, best.Version) > 0) {
			best = p
		}
	}
	if best.Name == "" {
		return best, step.WithHint(fmt.Errorf("no repository has %s", want), "add the repository that has it")
	}
	return best, nil
}
