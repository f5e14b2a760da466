package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/rpm"
	"psyopsOS/image/stage"
	"psyopsOS/image/tree"
)

// rpmKernel is the RPM packages of one kernel: some distributions have it in
// one, others in three.
type rpmKernel []string

// rpmFiles is what a setting names: a package, several behind commas, or a
// folder of packages; nil where it is none of these.
func rpmFiles(setting string) []string {
	if strings.HasSuffix(setting, ".rpm") {
		return strings.Split(setting, ",")
	}
	files, _ := filepath.Glob(filepath.Join(setting, "*.rpm")) // a bad pattern names no folder either
	return files
}

func (k rpmKernel) id() string { return word(strings.TrimSuffix(k[0], ".rpm")) }

func (k rpmKernel) inputs() (inputs []stage.Input) {
	for _, name := range k {
		inputs = append(inputs, stage.File(name))
	}
	return inputs
}

func (k rpmKernel) files(_ context.Context, w *stage.Work, spool *os.File) (*tree.Tree, []image.Package, error) {
	all, parts := tree.New(), []image.Package(nil)
	for _, name := range k {
		t, info, err := rpm.Unpack(name, spool)
		if err != nil {
			return nil, nil, err
		}
		if err := all.Merge(t, tree.Over); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		w.Note("%s %s: its digests fit; its signature was not looked at (rpm --checksig does)", info.Name, info.Version)
		parts = append(parts, image.Package{Type: "rpm", Name: info.Name, Version: info.Version, Arch: info.Arch, Origin: info.Source, License: info.License, SHA256: info.SHA256})
	}
	return all, parts, nil
}
