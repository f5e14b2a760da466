package release

import (
	"fmt"
	"strings"
	"time"
)

// A Kind is what a release's tar is for.
type Kind string

// The two kinds.
const (
	OS  Kind = "psyopsOS"
	ESP Kind = "psyopsESP"
)

// UEFI is the firmware type that an ESP release's name carries.
const UEFI = "x86_64-uefi"

// VersionLayout is the time layout of a version: UTC, text order is time order.
const VersionLayout = "20060102-150405"

// Version is the version of a release built at t.
func Version(t time.Time) string { return t.UTC().Format(VersionLayout) }

// VersionTime is the build time that a version names.
func VersionTime(version string) (time.Time, error) {
	t, err := time.Parse(VersionLayout, version)
	if err != nil || Version(t) != version {
		return time.Time{}, malformed("version", "%q is not YYYYmmdd-HHMMSS", version)
	}
	return t, nil
}

// A Name is what the file name of a release's tar says.
type Name struct {
	Kind     Kind
	Platform string // the architecture of an OS, the firmware type of an ESP; empty in some old names
	Version  string
}

// String is the file name of the tar.
func (n Name) String() string {
	if n.Platform == "" {
		return fmt.Sprintf("%s.%s.tar", n.Kind, n.Version)
	}
	return fmt.Sprintf("%s.%s.%s.tar", n.Kind, n.Platform, n.Version)
}

// LatestSignature is the name under which a repository has the newest
// signature of this kind and platform.
func LatestSignature(kind Kind, platform string) string {
	return fmt.Sprintf("%s.%s.latest.tar.minisig", kind, platform)
}

// ParseName reads the file name of a release's tar: today's names and those
// that the first psyopsOS gave.
func ParseName(name string) (Name, error) {
	const what = "release file name"
	if !isComponent(name) {
		return Name{}, malformed(what, "%q is not one path component of A-Z a-z 0-9 . _ -", name)
	}
	stem, ok := strings.CutSuffix(name, ".tar")
	words := strings.Split(stem, ".")
	if !ok || len(words) < 2 {
		return Name{}, malformed(what, "%q, want psyopsOS.ARCHITECTURE.VERSION.tar or the like", name)
	}
	version := words[len(words)-1]
	if _, err := VersionTime(version); err != nil {
		return Name{}, malformed(what, "%q: %q is no version", name, version)
	}
	n := Name{Version: version}
	switch head := strings.Join(words[:len(words)-1], "."); {
	case head == "psyopsOS.grubusb.os", head == "psyopsOS":
		n.Kind = OS
	case head == "psyopsOS.grubusb.efisys":
		n.Kind = ESP
	case len(words) == 3 && words[1] != "" && (words[0] == string(OS) || words[0] == string(ESP)):
		n.Kind, n.Platform = Kind(words[0]), words[1]
	default:
		return Name{}, malformed(what, "%q, want psyopsOS.ARCHITECTURE.VERSION.tar or the like", name)
	}
	return n, nil
}

func isComponent(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= 255 && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}) < 0
}
