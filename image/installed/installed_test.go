package installed_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"psyopsOS/image"
	"psyopsOS/image/installed"
	"psyopsOS/image/tree"
)

const apkText = `C:Q1abc=
P:musl
V:1.2.5-r0
A:x86_64
T:the musl c library
L:MIT
o:musl
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1def=

C:Q1ghi=
P:busybox
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only
`

const dpkgText = `Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u10
Description: GNU C Library
 Status: deinstall ok
Conffiles:
 /etc/ld.so.conf.d/x.conf 0123

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: half
Architecture: all
Version: 1
`

const pacmanText = `%NAME%
bash

%VERSION%
5.2.037-1

%BASE%
bash

%DESC%
The GNU Bourne Again shell

%ARCH%
x86_64

%LICENSE%
GPL-3.0-or-later

%DEPENDS%
readline>=8.2
libreadline.so=8-64

`

func packages(t *testing.T, files map[string]string) ([]image.Package, []string, error) {
	t.Helper()
	x := tree.New()
	for name, content := range files {
		if err := x.AddFile(name, 0o644, content); err != nil {
			t.Fatal(err)
		}
	}
	return installed.Packages(x)
}

func TestWhatIsInstalled(t *testing.T) {
	busybox := image.Package{Type: "apk", Distro: "alpine", Name: "busybox", Version: "1.36.1-r29", Arch: "x86_64", License: "GPL-2.0-only"}
	musl := image.Package{Type: "apk", Distro: "alpine", Name: "musl", Version: "1.2.5-r0", Arch: "x86_64", License: "MIT", Origin: "musl"}
	libc := image.Package{Type: "deb", Distro: "debian", Name: "libc6", Version: "2.36-9+deb12u10", Arch: "amd64", Origin: "glibc"}
	piece := image.Package{Type: "deb", Name: "tzdata", Version: "2024a", Arch: "all"}
	bash := image.Package{Type: "alpm", Distro: "arch", Name: "bash", Version: "5.2.037-1", Arch: "x86_64", License: "GPL-3.0-or-later", Origin: "bash"}
	for _, c := range []struct {
		name   string
		files  map[string]string
		want   []image.Package
		unread []string
	}{
		{"by apk", map[string]string{"lib/apk/db/installed": apkText, "etc/os-release": "ID=alpine\n"}, []image.Package{busybox, musl}, nil},
		{"by apk, noted twice", map[string]string{"lib/apk/db/installed": apkText, "usr/lib/apk/db/installed": apkText, "etc/os-release": "ID=alpine\n"}, []image.Package{busybox, musl}, nil},
		{"by dpkg", map[string]string{"var/lib/dpkg/status": dpkgText, "etc/os-release": "ID=debian\n"}, []image.Package{libc}, nil},
		{"without dpkg, in pieces", map[string]string{"var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2024a\nArchitecture: all\n", "var/lib/dpkg/status.d/tzdata.md5sums": "0123  x\n"}, []image.Package{piece}, nil},
		{"by nobody", map[string]string{"bin/sh": ""}, nil, nil},
		{"by an old rpm", map[string]string{"var/lib/rpm/Packages": ""}, nil, []string{"var/lib/rpm/Packages"}},
		{"by pacman", map[string]string{"var/lib/pacman/local/ALPM_DB_VERSION": "9\n", "var/lib/pacman/local/bash-5.2.037-1/desc": pacmanText, "var/lib/pacman/local/bash-5.2.037-1/files": "%FILES%\nusr/\n", "etc/os-release": "ID=arch\n"}, []image.Package{bash}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, unread, err := packages(t, c.files)
			if err != nil || !reflect.DeepEqual(got, c.want) || !slices.Equal(unread, c.unread) {
				t.Errorf("got %+v, %v, %v\nwant %+v, %v", got, unread, err, c.want, c.unread)
			}
		})
	}
}

func TestADamagedDatabaseIsTold(t *testing.T) {
	_, _, err := packages(t, map[string]string{"lib/apk/db/installed": "P:musl\nA:x86_64\n"})
	if err == nil || !strings.Contains(err.Error(), "lib/apk/db/installed: a package without name or version") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(apkText))
	f.Add([]byte(dpkgText))
	f.Add([]byte(pacmanText))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func([]byte) ([]image.Package, error){installed.ParseAPK, installed.ParseDpkg, installed.ParseDpkgPiece, installed.ParsePacman} {
			all, err := parse(text)
			if err != nil {
				continue
			}
			for _, p := range all {
				if p.Name == "" || p.Version == "" {
					t.Errorf("%+v is no package", p)
				}
			}
		}
	})
}
