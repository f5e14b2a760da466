package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/debian"
	"psyopsOS/image/stage"
	"psyopsOS/image/testos"
)

// testosUserland is made of the build machine's Debian packages.
type testosUserland struct{ *project }

func (testosUserland) id() string { return "" }

func (u testosUserland) inputs() []stage.Input {
	return []stage.Input{stage.Value("testos", testos.Recipe), stage.Folder(u.path("image/testos/overlay")),
		stage.Func("packages", func(ctx context.Context) (string, error) {
			packages, err := u.packages.Resolve(ctx, testos.Request(testos.Node))
			return fmt.Sprint(packages), err
		})}
}

func (u testosUserland) build(ctx context.Context, w *stage.Work, _ *os.File) (image.Userland, error) {
	packages, err := u.packages.Resolve(ctx, testos.Request(testos.Node))
	if err != nil {
		return image.Userland{}, err
	}
	files, err := u.packages.Fetch(ctx, w.Reporter, packages...)
	if err != nil {
		return image.Userland{}, err
	}
	t, err := testos.Build(packages, files)
	return image.Userland{Tree: t, Name: strings.Replace(testos.Version, "-", " ", 1), Packages: debianParts(packages...)}, err
}

// debianParts are Debian's packages as a release tells them.
func debianParts(packages ...debian.Package) []image.Package {
	var parts []image.Package
	for _, p := range packages {
		parts = append(parts, image.Package{Type: "deb", Distro: "debian", Name: p.Name, Version: p.Version, Arch: p.Architecture, SHA256: p.SHA256})
	}
	return parts
}
