package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/image"
	"psyopsOS/image/decompress"
	"psyopsOS/image/installed"
	"psyopsOS/image/oci"
	"psyopsOS/image/stage"
	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// The kinds of userlands that somebody else has made whole.
const (
	ociKind = "oci"
	tarKind = "tar"
)

// newFileUserland takes what is behind the kind (oci:REF), or the setting of
// its own (--oci REF).
func newFileUserland(s imageSettings, kind, argument string) (userland, error) {
	own := map[string]string{ociKind: s.OCI, tarKind: s.Tar}[kind]
	switch argument = cmp.Or(argument, own); {
	case argument == "":
		return nil, usagef("--userland %s: of what? oci:IMAGE or tar:FILE", kind)
	case kind == tarKind:
		_, err := os.Stat(argument)
		return tarUserland(argument), err
	}
	if file := oci.LocalPath(argument); file != "" {
		if _, err := os.Stat(file); err != nil {
			return nil, err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	return ociUserland{argument, oci.Options{Cache: filepath.Join(cache, "psyopsOS", "oci")}}, nil
}

// besideFile is a path that psyops.toml has, seen from there.
func besideFile(s *settings.Settings, key string) string {
	v := s.Value(key)
	path := s.Text(key)
	if v.Source == settings.FromFile && (strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../")) {
		return filepath.Join(filepath.Dir(s.File), path)
	}
	return path
}

// ociUserland is a container image.
type ociUserland struct {
	ref     string
	options oci.Options
}

func (u ociUserland) id() string { return ociKind + "-" + word(u.ref) }

// word is the last part of a path or reference, as a file name may have it.
func word(ref string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return r
		}
		return '-'
	}, filepath.Base(ref))
}

func (u ociUserland) inputs() []stage.Input {
	if file := oci.LocalPath(u.ref); file != "" {
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return []stage.Input{stage.Value("image", u.ref), stage.File(file)}
		}
	}
	return []stage.Input{stage.Func("image", func(ctx context.Context) (string, error) {
		i, err := oci.Open(ctx, u.ref, u.options)
		if err != nil {
			return "", err
		}
		return i.Digest, nil
	})}
}

func (u ociUserland) build(ctx context.Context, w *stage.Work, spool *os.File) (image.Userland, error) {
	i, err := oci.Open(ctx, u.ref, u.options)
	if err != nil {
		return image.Userland{}, err
	}
	if i.Pinned != "" && i.Pinned != u.ref {
		w.Note("%s is %s now: that name builds the same again, and without the network", u.ref, i.Pinned)
	}
	if err := i.Fetch(ctx, w.Progress); err != nil {
		return image.Userland{}, err
	}
	t, err := i.Tree(ctx, spool)
	if err != nil {
		return image.Userland{}, err
	}
	return wholeUserland(w, t, ociKind)
}

// tarUserland is the tar of a root file system, compressed or not.
type tarUserland string

func (u tarUserland) id() string { return tarKind + "-" + word(string(u)) }

func (u tarUserland) inputs() []stage.Input { return []stage.Input{stage.File(string(u))} }

func (u tarUserland) build(_ context.Context, w *stage.Work, spool *os.File) (image.Userland, error) {
	t, err := readRootTar(string(u), spool)
	if err != nil {
		return image.Userland{}, fmt.Errorf("%s: %w", string(u), err)
	}
	return wholeUserland(w, t, tarKind)
}

func readRootTar(name string, spool *os.File) (t *tree.Tree, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	plain, err := decompress.Reader(f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	return tree.ReadRootTar(plain, spool)
}

// wholeUserland is a root file system that somebody made for a container or a
// machine, with what it says of itself.
func wholeUserland(w *stage.Work, t *tree.Tree, kind string) (image.Userland, error) {
	for _, gone := range image.FromContainer(t) {
		w.Note("left out: /%s, the mark of a container", gone)
	}
	packages, unread, err := installed.Packages(t)
	if err != nil {
		return image.Userland{}, err
	}
	for _, name := range unread {
		w.Warn(fmt.Errorf("the packages that /%s tells of are not in the bill of materials: this database is not read", name))
	}
	name, err := image.ReleaseName(t)
	if err != nil {
		name = kind // it does not say what it is
	}
	w.Note("%s, %d packages, %d files", name, len(packages), t.Len())
	return image.Userland{Tree: t, Name: name, Packages: packages}, nil
}

// baseFor is what every userland gets, where OpenRC can run it.
func (p project) baseFor(w *stage.Work, u image.Userland, overlays func() ([]*tree.Tree, error)) ([]*tree.Tree, error) {
	if image.HasOpenRC(u.Tree) {
		return overlays()
	}
	if len(p.services) > 0 {
		return nil, step.WithHint(fmt.Errorf("service %s: the userland has no OpenRC that would start it", p.services[0].Name), "enable it as the userland's own init wants it, in an overlay")
	}
	w.Warn(step.WithHint(errors.New("the userland has no OpenRC: it gets no service of psyopsOS, among them the one that calls a boot healthy"),
		"its own init has to start `neuralupgrade health`, or a new release falls back after its trials"))
	return nil, nil
}

// checkInit looks for the program that becomes PID 1 in what a node will have.
func (p project) checkInit(userland *tree.Tree, overlays []*tree.Tree) error {
	all := tree.New()
	for _, part := range append([]*tree.Tree{userland}, overlays...) {
		if err := all.Merge(part, tree.Over); err != nil {
			return err
		}
	}
	return image.CheckInit(all, p.initWord())
}

// initWord is the program that --append says is PID 1; empty for /sbin/init.
func (p project) initWord() (name string) {
	for _, word := range strings.Fields(p.append) {
		if value, found := strings.CutPrefix(word, "init="); found {
			name = value
		}
	}
	return name
}
