// Package testos makes a small userland of the build machine's distribution
// packages: busybox and OpenRC laid out as Alpine lays them out, with sshd
// and Nebula. It is for trying psyopsOS and for its tests: nobody needs an
// Alpine mirror to see it boot.
//
// It reads Debian packages and the embedded folder overlay, whose files are
// ours, and gives a tree.Tree. No package's script is run.
package testos

import (
	"embed"
	"fmt"
	"io/fs"

	"psyopsOS/image/debian"
	"psyopsOS/image/tree"
)

// Version is what FORMATS.md calls the userland's name and release.
const Version = "testos-1"

// Recipe tells apart what different versions of this package make of the same
// packages. It goes into the build's stage key together with Overlay.
const Recipe = "3"

//go:embed all:overlay
var overlay embed.FS

// A Flavour says how much is in the userland.
type Flavour int

// Node is a realistic node, with sshd and Nebula; Base has neither and is a
// third of its size.
const (
	Node Flavour = iota
	Base
)

// Request lists the packages. Only programs are named: libraries have other
// names in each release of Debian and are found by dependency.
func Request(f Flavour) debian.Request {
	r := debian.Request{
		Packages: []string{
			"busybox",        // the dynamic one: a static one's shell would run its own applets before PATH's
			"busybox-static", // for the applets that the dynamic one lacks
			"openrc",
			"dpkg", // start-stop-daemon, on which OpenRC's services rely
		},
		Drop: map[string]string{
			"libfido2-1": "only for ssh-sk-helper, which talks to security keys and is left out",
			"libbz2-1.0": "only for dpkg itself, which is left out",
		},
	}
	if f == Node {
		r.Packages = append(r.Packages, "openssh-server", "openssh-client", "nebula")
	}
	return r
}

// Overlay is our own part of the userland.
func Overlay() (*tree.Tree, error) {
	files, err := fs.Sub(overlay, "overlay")
	if err != nil {
		return nil, err
	}
	return tree.FromFS(files, modes)
}

// Build makes the userland of packages, whose files are those of the same
// index. The contents of packages stay in memory.
func Build(packages []debian.Package, files []string) (*tree.Tree, error) {
	t := tree.New()
	for i, p := range packages {
		content, err := debian.Unpack(files[i], nil)
		if err != nil {
			return nil, err
		}
		trim(p.Name, content)
		if err := t.Merge(content, tree.Over); err != nil {
			return nil, fmt.Errorf("testos: package %s: %w", p, err)
		}
	}
	for _, make := range []func(*tree.Tree) error{mergeUsr, addFolders, addBusyboxLinks, addOurs, addServices, check} {
		if err := make(t); err != nil {
			return nil, fmt.Errorf("testos: %w", err)
		}
	}
	return t, nil
}

func addOurs(t *tree.Tree) error {
	ours, err := Overlay()
	if err != nil {
		return err
	}
	return t.Merge(ours, tree.Over)
}

// check finds what a new release of the distribution may have moved or split
// off, before a machine does.
func check(t *tree.Tree) error {
	for _, name := range []string{"bin/busybox", "bin/busybox.static", "bin/sh", "sbin/init", "sbin/openrc", "sbin/openrc-run",
		"sbin/start-stop-daemon", "lib/rc/sh/openrc-run.sh", "bin/rc-status", "lib64/ld-linux-x86-64.so.2"} {
		if _, err := fs.Stat(t.FS(), name); err != nil {
			return fmt.Errorf("the packages did not bring %s: %w", name, err)
		}
	}
	missing, err := debian.MissingLibraries(t)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("libraries are missing: %v", missing)
	}
	return err
}
