// Package installed finds out what a root file system is made of, as the
// distribution that made it notes: lib/apk/db/installed of apk, the dpkg
// status, whole or in pieces as images without dpkg have it, rpm's SQLite
// database, pacman's folder. It reads a tree and changes nothing.
//
// modernc.org/sqlite has its door here: SQLite itself, translated to Go, with
// releases every month; it adds 5.6 MB to tk, and nothing to init.
//
// Nobody vouches for these notes but whoever made the image; a bill of
// materials tells them as what they are.
package installed

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/debian"
	"psyopsOS/image/tree"
)

// maxDatabase bounds what is read of one.
const maxDatabase = 64 << 20

// Packages lists what is installed in t, sorted. unread names package
// databases that are there and that nobody here reads.
func Packages(t *tree.Tree) (all []image.Package, unread []string, err error) {
	root := t.FS()
	for _, database := range []struct {
		file  string
		parse func([]byte) ([]image.Package, error)
	}{
		{"lib/apk/db/installed", ParseAPK},
		{"usr/lib/apk/db/installed", ParseAPK},
		{"var/lib/dpkg/status", ParseDpkg},
	} {
		packages, err := read(root, database.file, database.parse)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, packages...)
	}
	pieces, err := fs.Glob(root, "var/lib/dpkg/status.d/*")
	if err != nil {
		return nil, nil, err
	}
	for _, name := range pieces {
		if path.Ext(name) == ".md5sums" {
			continue
		}
		packages, err := read(root, name, ParseDpkgPiece)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, packages...)
	}
	for _, name := range []string{"var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite"} {
		packages, err := readRPM(root, name)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, packages...)
	}
	packages, err := readPacman(root)
	if err != nil {
		return nil, nil, err
	}
	all = append(all, packages...)
	for _, name := range []string{"usr/lib/sysimage/rpm/Packages.db", "var/lib/rpm/Packages.db", "var/lib/rpm/Packages", "var/db/pkg"} {
		if _, err := fs.Stat(root, name); err == nil {
			unread = append(unread, name)
		}
	}
	return inDistro(t, all), unread, nil
}

func read(root fs.FS, name string, parse func([]byte) ([]image.Package, error)) ([]image.Package, error) {
	info, err := fs.Stat(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxDatabase {
		return nil, fmt.Errorf("%s is a %s of %d bytes", name, info.Mode().Type(), info.Size())
	}
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	packages, err := parse(text)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return packages, err
}

// inDistro says whose packages these are, sorts them, and leaves out what is
// noted twice: /lib may be a link to /usr/lib.
func inDistro(t *tree.Tree, packages []image.Package) []image.Package {
	name, err := image.ReleaseName(t)
	if err != nil {
		name = "" // no os-release
	}
	distro, _, _ := strings.Cut(name, " ")
	for i := range packages {
		packages[i].Distro = distro
	}
	slices.SortFunc(packages, func(a, b image.Package) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.Arch, b.Arch))
	})
	return slices.Compact(packages)
}

// ParseAPK reads apk's database.
func ParseAPK(text []byte) ([]image.Package, error) {
	return parse(text, func(fields map[string]string) (image.Package, bool) {
		return image.Package{Type: "apk", Name: fields["P"], Version: fields["V"], Arch: fields["A"], License: fields["L"], Origin: fields["o"]}, true
	})
}

// ParseDpkg reads a dpkg status file. Packages that are not installed any
// more, but whose configuration is, are left out.
func ParseDpkg(text []byte) ([]image.Package, error) {
	return parse(text, func(fields map[string]string) (image.Package, bool) {
		return debPackage(fields), strings.HasSuffix(fields["Status"], " installed")
	})
}

// ParseDpkgPiece reads a file of status.d, where what is listed is installed
// whether it has a Status or none.
func ParseDpkgPiece(text []byte) ([]image.Package, error) {
	return parse(text, func(fields map[string]string) (image.Package, bool) {
		status, found := fields["Status"]
		return debPackage(fields), !found || strings.HasSuffix(status, " installed")
	})
}

func debPackage(fields map[string]string) image.Package {
	source, _, _ := strings.Cut(fields["Source"], " ")
	return image.Package{Type: "deb", Name: fields["Package"], Version: fields["Version"], Arch: fields["Architecture"], Origin: source}
}

// parse makes a package of each paragraph that is one.
func parse(text []byte, of func(fields map[string]string) (p image.Package, installed bool)) ([]image.Package, error) {
	var packages []image.Package
	for fields := range debian.Paragraphs(text) {
		p, installed := of(fields)
		if !installed {
			continue
		}
		if p.Name == "" || p.Version == "" {
			return nil, fmt.Errorf("a package without name or version: %.60q", fmt.Sprint(fields))
		}
		packages = append(packages, p)
	}
	return packages, nil
}
