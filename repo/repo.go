// Package repo gets releases from a repository: a flat place, reached over
// HTTP(S) or as a folder, with the names of FORMATS.md section 4. It is the
// transport; package release is the trust, and nothing that this package
// fetches is believed before that has vouched for it.
//
// It reads the repository, and the proxy variables of the environment. It
// writes nothing but the file that Release.Download is given, which is called
// NAME.unverified-… until it is verified.
//
// What a server may do to us is bounded: signatures by release.MaxSignature,
// a tar by the size that its signature names, redirects by number and by
// scheme, silence by a time-out, failures in a row by a number.
package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/release"
	"psyopsOS/step"
)

// A Repository is a place with releases.
type Repository struct {
	place   place
	options Options
}

// A place is how the files of a repository are reached.
type place interface {
	// signature reads a small file. name is what it is called where redirects
	// or links have led.
	signature(ctx context.Context, name string) (content []byte, at, finalName string, err error)
	// open opens a file from offset on.
	open(ctx context.Context, name string, offset int64) (part, error)
	// address is the file's, for people.
	address(name string) string
}

// Open is the repository at an address: http://…, https://… or a folder, in
// which the releases themselves lie.
func Open(address string, o Options) (Repository, error) {
	o = o.withDefaults()
	switch scheme, _, ok := strings.Cut(address, "://"); {
	case ok && (scheme == "http" || scheme == "https"):
		place, err := newWeb(address, o)
		return Repository{place, o}, err
	case ok && scheme != "file":
		return Repository{}, step.WithHint(fmt.Errorf("repository %q: no such scheme", address), "http://, https:// or a folder")
	case address == "":
		return Repository{}, step.WithHint(errors.New("no repository"), "name one: its address, or a folder")
	}
	return Repository{folder{strings.TrimPrefix(address, "file://")}, o}, nil
}

// A Release is a release of which the signature is here and its comment
// vouched for, and the tar is not.
type Release struct {
	Info       release.Info
	Signatures [][]byte // the first is the one of the plain name
	Address    string   // of the first signature, for people
	suffixes   []string // of the signatures' names, after X.minisig
	tar        string   // its name at the place
	repository Repository
	keys       release.Keys
}

// Suffixes are what follows X.minisig in the names of the signatures.
func (r Release) Suffixes() []string { return slices.Clone(r.suffixes) }

// TarAddress is where the tar is, for people.
func (r Release) TarAddress() string { return r.repository.place.address(r.tar) }

// Latest is the newest release of its kind for a platform, as the repository
// says. The signature says which tar it belongs to, so that two releases are
// never mixed while one is being published.
func (r Repository) Latest(ctx context.Context, keys release.Keys, kind release.Kind, platform string) (Release, error) {
	return r.vouched(ctx, keys, kind, release.LatestSignature(kind, platform))
}

// Version is the release of that version, under today's name or one that the
// first psyopsOS gave.
func (r Repository) Version(ctx context.Context, keys release.Keys, kind release.Kind, platform, version string) (Release, error) {
	if _, err := release.VersionTime(version); err != nil {
		return Release{}, err
	}
	var absent error
	for _, name := range namesOf(kind, platform, version) {
		found, err := r.vouched(ctx, keys, kind, name+".minisig")
		if err == nil && found.Info.Version != version {
			return Release{}, fmt.Errorf("%s: its signature is of version %s, not %s", found.Address, found.Info.Version, version)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
		if absent == nil {
			absent = err
		}
	}
	return Release{}, fmt.Errorf("no release %s of type %s: %w", version, kind, absent)
}

// Named is the release whose tar has a name that a release may have.
func (r Repository) Named(ctx context.Context, keys release.Keys, name string) (Release, error) {
	parsed, err := release.ParseName(name)
	if err != nil {
		return Release{}, err
	}
	return r.vouched(ctx, keys, parsed.Kind, name+".minisig")
}

// File is the release in a tar of any name, with its signatures beside it.
func File(ctx context.Context, keys release.Keys, name string) (Release, error) {
	r := Repository{folder{filepath.Dir(name)}, Options{}.withDefaults()}
	signature := filepath.Base(name) + ".minisig"
	found, err := r.anyKind(ctx, keys, signature)
	if err != nil {
		return Release{}, err
	}
	// Here they cost nothing: whoever gets the release on from here may want
	// more of them than this machine does.
	all, err := release.ReadSignatures(os.DirFS(filepath.Dir(name)), signature)
	found.Signatures, found.suffixes = release.Texts(all), nil
	for _, s := range all {
		found.suffixes = append(found.suffixes, s.Suffix)
	}
	found.tar = filepath.Base(name)
	return found, err
}

func namesOf(kind release.Kind, platform, version string) []string {
	names := []string{release.Name{Kind: kind, Platform: platform, Version: version}.String()}
	if kind == release.ESP {
		return append(names, "psyopsESP.x86_64."+version+".tar", "psyopsOS.grubusb.efisys."+version+".tar")
	}
	return append(names, "psyopsOS.grubusb.os."+version+".tar", "psyopsOS."+version+".tar")
}

// vouched fetches a signature, of a release of one kind.
func (r Repository) vouched(ctx context.Context, keys release.Keys, kind release.Kind, name string) (Release, error) {
	found, err := r.anyKind(ctx, keys, name)
	if err == nil && found.Info.Kind != kind {
		return Release{}, fmt.Errorf("%s: it is a release of type %s, not %s", found.Address, found.Info.Kind, kind)
	}
	return found, err
}

// anyKind fetches a signature, and more of them where one is not enough.
func (r Repository) anyKind(ctx context.Context, keys release.Keys, name string) (Release, error) {
	content, at, final, err := r.place.signature(ctx, name)
	if err != nil {
		return Release{}, err
	}
	found := Release{Signatures: [][]byte{content}, Address: at, suffixes: []string{""}, repository: r, keys: keys}
	if found.Info, err = keys.Info(content); err != nil && keys.Threshold() > 1 {
		if err := r.addSignatures(ctx, keys, final, &found); err != nil {
			return Release{}, err
		}
		found.Info, err = keys.Info(found.Signatures...)
	}
	if err != nil {
		return Release{}, fmt.Errorf("%s: %w", at, err)
	}
	found.tar = found.Info.Filename
	return found, nil
}

// addSignatures adds those of each trusted key, X.minisig.KEYID, as far as
// they are there. name is what the first one was found under.
func (r Repository) addSignatures(ctx context.Context, keys release.Keys, name string, to *Release) error {
	names := []string{name}
	if beside := besideTar(keys, to.Signatures[0]); beside != "" && beside != name {
		names = append(names, beside)
	}
	for _, key := range keys.All() {
		suffix := "." + key.ID()
		if slices.Contains(to.suffixes, suffix) {
			continue
		}
		for _, name := range names {
			content, _, _, err := r.place.signature(ctx, name+suffix)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			to.Signatures, to.suffixes = append(to.Signatures, content), append(to.suffixes, suffix)
			break
		}
	}
	return nil
}

// besideTar is the name of a signature beside its tar, as the signature itself
// tells it: a web server may give what latest links to, and no redirect. To look
// for more signatures there the word of one trusted key is enough.
func besideTar(keys release.Keys, signature []byte) string {
	one, err := release.NewKeys(1, keys.All()...)
	if err != nil {
		return ""
	}
	info, err := one.Info(signature)
	if err != nil || info.Filename == "" {
		return ""
	}
	return info.Filename + ".minisig"
}
