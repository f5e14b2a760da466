package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/stage"
)

// A userland is one way to make the root file system. The stage squashfs asks
// it what it depends on, and has it made.
type userland interface {
	// id is the word that tells stages and images of this userland from
	// others; empty for the default.
	id() string
	inputs() []stage.Input
	// build makes the userland. Contents may go to spool, which stays open
	// until the squashfs is written.
	build(ctx context.Context, w *stage.Work, spool *os.File) (image.Userland, error)
}

// defaultUserland needs no mirror: it is made of the distribution's packages.
const defaultUserland = "testos"

// userlandHelp is the text of --userland.
const userlandHelp = "the root file system: `U` is testos (made of Debian packages), alpine (of the packages in --world), oci:IMAGE (a container image: a layout's folder, an archive, or REGISTRY/NAME:TAG) or tar:FILE (a root file system)"

// newUserland takes KIND or KIND:ARGUMENT.
func (p *project) newUserland(s imageSettings) (userland, error) {
	kind, argument, _ := strings.Cut(s.Userland, ":")
	switch kind {
	case defaultUserland:
		if argument != "" {
			return nil, usagef("--userland %s: testos has no argument", s.Userland)
		}
		return testosUserland{p}, nil
	case alpineKind:
		return alpineUserland{p.alpine}, nil
	case ociKind, tarKind:
		return newFileUserland(s, kind, argument)
	}
	return nil, oneOf("userland", kind, defaultUserland, alpineKind, ociKind, tarKind)
}

// buildUserland makes the userland, and tells what it could not do.
func (p project) buildUserland(ctx context.Context, w *stage.Work, spool *os.File) (image.Userland, error) {
	u, err := p.userland.build(ctx, w, spool)
	if err != nil {
		return image.Userland{}, err
	}
	for _, line := range u.Undone {
		fmt.Fprintln(w.Log, line)
	}
	if n := len(u.Undone); n > 0 {
		w.Note("%d things that only the packages' scripts could have done were left undone; they are in this stage's log", n)
	}
	return u, nil
}
