// Package rpmtest has rpmbuild make RPM packages of folders, for tests of what
// reads them.
package rpmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A Package is what rpmbuild makes.
type Package struct {
	Name, Version string
	Root          string // the folder whose files are in it
	Payload       string // w9.gzdio, w3.zstdio, w2.xzdio, …; empty: zstd
}

const spec = `Name: %s
Version: %s
Release: 1.test
Epoch: 0
Summary: made by a test
License: GPL-2.0-only
BuildArch: x86_64
AutoReqProv: no
%%global debug_package %%{nil}
%%global __os_install_post %%{nil}
%%global _build_id_links none
%%define _binary_payload %s
%%description
made by a test
%%install
mkdir -p %%{buildroot}
cp -a %s/. %%{buildroot}/
%%files
%%defattr(-,root,root)
/*
`

// Build makes the package and gives its file.
func Build(t testing.TB, p Package) string {
	t.Helper()
	if p.Payload == "" {
		p.Payload = "w3.zstdio"
	}
	top := t.TempDir()
	file := filepath.Join(top, "p.spec")
	if err := os.WriteFile(file, fmt.Appendf(nil, spec, p.Name, p.Version, p.Payload, p.Root), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", "_topdir "+top, "--define", "_tmppath "+top, "--dbpath", filepath.Join(top, "db"), file)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rpmbuild: %v\n%s", err, said)
	}
	made, err := filepath.Glob(filepath.Join(top, "RPMS/x86_64/*.rpm"))
	if err != nil || len(made) != 1 {
		t.Fatalf("rpmbuild made %v, %v", made, err)
	}
	return made[0]
}
