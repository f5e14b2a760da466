// Package alpine makes a userland of Alpine or Wolfi packages, without root
// and without running a line of anybody's scripts.
//
// It reads repositories, by URL or as folders, laid out as apk wants them
// (REPOSITORY/ARCH/APKINDEX.tar.gz beside the packages), a world file, and
// keys. It writes downloads into a cache folder and gives a tree.Tree, with
// the database that apk on the running node goes on with, and a list of what
// the packages' scripts would have done and nobody did.
//
// Who vouches for what: a key of the repository signs its index; the index
// has the SHA-1 of each package's control member (C:Q1…); the control member
// has the SHA-256 of the data member (datahash). Each link is checked before
// what it vouches for is read. Each repository has keys of its own, which
// vouch for nothing elsewhere. The signature inside a package is not looked
// at, as apk does not either: it tells who made a package, not that it
// belongs into this index.
//
// Own code instead of chainguard-dev/apko's pkg/apk (looked at: v0.30.34):
// that brings 312 packages from outside the standard library (gRPC,
// telemetry, cloud credentials) and 24 MB into a program, and like its
// ancestor go-apk takes the checksum from the package that came instead of
// comparing it with the index.
package alpine

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// A Checksum is the SHA-1 of a package's control member as it is compressed,
// by which an index names the one package that it means.
type Checksum [20]byte

// String is the form of indexes: Q1 and base64.
func (c Checksum) String() string { return "Q1" + base64.StdEncoding.EncodeToString(c[:]) }

// ParseChecksum reads the form of indexes.
func ParseChecksum(text string) (c Checksum, err error) {
	encoded, ok := strings.CutPrefix(text, "Q1")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != len(c) {
		return c, fmt.Errorf("%.60q is no checksum of the form Q1…", text)
	}
	return Checksum(raw), nil
}

// A Package is one version of a package, as an index describes it.
type Package struct {
	Name, Version, Arch         string
	Checksum                    Checksum
	Size, InstalledSize         int64
	Description, URL, License   string
	Origin, Maintainer, Commit  string
	BuildTime                   int64 // seconds since 1970
	Priority                    int   // among several that provide one name
	ReplacesPriority            int
	Depends, Provides, Replaces []Dependency
	InstallIf                   []Dependency // installed where all these are
	Repository                  string       // the address of the index it is in; not part of an index's text
	Tag                         string       // of that repository
}

// String is the package's name and version, as its file is called.
func (p Package) String() string { return p.Name + "-" + p.Version }

// File is the name of the package's file in its repository.
func (p Package) File() string { return p.String() + ".apk" }

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-"

// check refuses what could not be in a real index: names and versions become
// parts of file names, addresses and lines of the database.
func (p Package) check() error {
	for field, value := range map[string]string{"name": p.Name, "version": p.Version, "architecture": p.Arch} {
		if !isWord(value) {
			return fmt.Errorf("%.60q is no %s", value, field)
		}
	}
	if !ValidVersion(p.Version) {
		return fmt.Errorf("%.60q is no version", p.Version)
	}
	if p.Size < 0 || p.InstalledSize < 0 {
		return fmt.Errorf("sizes are %d and %d", p.Size, p.InstalledSize)
	}
	return nil
}

func isWord(value string) bool {
	return value != "" && len(value) < 200 && strings.Trim(value, nameLetters+"~") == "" && !strings.ContainsAny(value[:1], ".-~")
}
