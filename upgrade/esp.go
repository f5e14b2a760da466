package upgrade

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/step"
)

// Bounds of an ESP release: it is verified whole, in memory, before the first
// byte of it is written.
const (
	maxESPTar = 12 << 20
	maxLoader = 4 << 20
)

// An espRelease is a verified release for the EFI system partition.
type espRelease struct {
	Info       release.Info
	Loader     []byte
	Manifest   []byte
	Programs   []espProgram // by path, as the menu has them
	Signatures map[string][]byte
}

// An espProgram is an extra EFI program in the partition's root.
type espProgram struct {
	bootstate.Program
	content []byte
}

func (p espProgram) name() string { return strings.TrimPrefix(p.Path, "/") }

// fetchESP fetches a release and verifies the whole of it.
func fetchESP(ctx context.Context, keys release.Keys, found repo.Release) (espRelease, error) {
	if found.Info.Kind != release.ESP {
		return espRelease{}, step.WithHint(fmt.Errorf("%s: a release of type %s does not go on the EFI system partition, which wants %s", found.TarAddress(), found.Info.Kind, release.ESP),
			"`neuralupgrade apply nonbooted` writes it to a side")
	}
	if found.Info.Size > maxESPTar {
		return espRelease{}, fmt.Errorf("%s has %s, an ESP release at most %s", found.TarAddress(), step.Bytes(found.Info.Size), step.Bytes(maxESPTar))
	}
	from := found.Open(ctx)
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, maxESPTar+1))
	if err != nil {
		return espRelease{}, err
	}
	if len(text) > maxESPTar {
		return espRelease{}, fmt.Errorf("%s has more than the %s of an ESP release", found.TarAddress(), step.Bytes(maxESPTar))
	}
	vouched, err := keys.Whole(text, found.Signatures...)
	if err != nil {
		return espRelease{}, fmt.Errorf("%s: %w", found.TarAddress(), err)
	}
	e := espRelease{Signatures: map[string][]byte{}}
	if e.Info, err = release.ParseComment(vouched.Comment); err != nil {
		return espRelease{}, fmt.Errorf("%s: %w", found.TarAddress(), err)
	}
	for i, suffix := range found.Suffixes() {
		e.Signatures[layout.ESPTarSignature+suffix] = found.Signatures[i]
	}
	if err := e.read(bytes.NewReader(text)); err != nil {
		return espRelease{}, fmt.Errorf("%s: %w", found.TarAddress(), err)
	}
	return e, nil
}

// read takes the tar apart: the loader, manifest.json, the programs that it
// names, and nothing else.
func (e *espRelease) read(r io.Reader) error {
	members, err := espMembers(r)
	if err != nil {
		return err
	}
	e.Loader, e.Manifest = members[layout.Loader], members[layout.Manifest]
	if e.Manifest == nil {
		return fmt.Errorf("there is no %s", layout.Manifest)
	}
	manifest, err := release.ParseESPManifest(e.Manifest)
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(manifest.ExtraPrograms)) {
		p := espProgram{bootstate.Program{Path: path, Title: manifest.ExtraPrograms[path]}, members[strings.TrimPrefix(path, "/")]}
		if p.content == nil {
			return fmt.Errorf("%s names %s, which is not in the tar", layout.Manifest, path)
		}
		if strings.Contains(p.name(), "/") || reserved(p.name()) {
			return fmt.Errorf("%s is no name for an extra program", path)
		}
		e.Programs = append(e.Programs, p)
		delete(members, p.name())
	}
	delete(members, layout.Loader)
	delete(members, layout.Manifest)
	for name := range members {
		return fmt.Errorf("the tar has %q, which %s does not name", name, layout.Manifest)
	}
	return e.check()
}

// reserved names are not a program's: they mean something to firmware, GRUB or
// us.
func reserved(name string) bool {
	return slices.ContainsFunc([]string{"EFI", layout.StateDir, layout.Manifest, "EFI.OLD", "GRUB.OLD"}, func(s string) bool { return strings.EqualFold(s, name) }) ||
		strings.HasPrefix(strings.ToLower(name), strings.ToLower(layout.ESPTarSignature)) || strings.HasPrefix(strings.ToLower(name), strings.ToLower(layout.ESPTarWaiting)) || strings.Contains(name, "~")
}

// check compares what the signature's comment says with what is there.
func (e *espRelease) check() error {
	var names []string
	for _, p := range e.Programs {
		names = append(names, p.name())
	}
	told := slices.Sorted(slices.Values(e.Info.Programs))
	if !slices.Equal(names, told) {
		return fmt.Errorf("%s names the programs %q, the signature %q", layout.Manifest, names, told)
	}
	if e.Loader == nil {
		return fmt.Errorf("there is no %s: it has no loader of ours", layout.Loader)
	}
	if len(e.Loader) > maxLoader {
		return fmt.Errorf("the loader has %s, at most %s", step.Bytes(int64(len(e.Loader))), step.Bytes(maxLoader))
	}
	if version := bootstate.LoaderVersion(e.Loader); version != e.Info.Version {
		return fmt.Errorf("%s is the loader of release %q, the signature is of %s", layout.Loader, version, e.Info.Version)
	}
	if len(names) > bootstate.MaxPrograms {
		return fmt.Errorf("%d extra programs, the menu has room for %d", len(names), bootstate.MaxPrograms)
	}
	return nil
}

func espMembers(r io.Reader) (map[string][]byte, error) {
	members := map[string][]byte{}
	for in := tar.NewReader(r); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return members, nil
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(header.Name, "./")
		if header.Typeflag == tar.TypeDir {
			continue
		}
		if header.Typeflag != tar.TypeReg || members[name] != nil {
			return nil, fmt.Errorf("the tar has %q twice, or it is no regular file", header.Name)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		members[name] = append([]byte{}, content...)
	}
}

// platformIs says whether a release's name is of a firmware type. Some of the
// first psyopsOS's names tell it otherwise, or not at all.
func platformIs(i release.Info, firmware string) error {
	name, err := release.ParseName(i.Filename)
	if err != nil {
		return err
	}
	old := firmware == release.UEFI && (name.Platform == "" || name.Platform == "x86_64")
	if name.Platform != firmware && !old {
		return fmt.Errorf("the release is for firmware of type %s, this machine's is %s", name.Platform, firmware)
	}
	return nil
}

// menu is what MENU.ENV is to say: the programs are the release's, the rest is
// the owner's.
func (e espRelease) menu(now bootstate.Menu) bootstate.Menu {
	now.Programs = nil
	for _, p := range e.Programs {
		now.Programs = append(now.Programs, p.Program)
	}
	return now
}

// changes are the programs and the manifest. The signature goes, until all of
// the release is there.
func (e espRelease) changes(old []string) (changes []bootstate.FileChange) {
	for _, name := range old {
		changes = append(changes, bootstate.FileChange{Path: name, Remove: true})
	}
	for _, p := range e.Programs {
		changes = append(changes, bootstate.FileChange{Path: p.name(), Data: p.content})
	}
	return append(changes, bootstate.FileChange{Path: layout.Manifest, Data: e.Manifest})
}

// signed are the last changes: what the release no longer has, and its
// signature.
func (e espRelease) signed(gone []string) (changes []bootstate.FileChange) {
	for _, name := range gone {
		changes = append(changes, bootstate.FileChange{Path: name, Remove: true})
	}
	for _, name := range slices.Sorted(maps.Keys(e.Signatures)) {
		changes = append(changes, bootstate.FileChange{Path: name, Data: e.Signatures[name]})
	}
	return changes
}

// gone are the old programs that the release does not have.
func (e espRelease) gone(old []string) (gone []string) {
	for _, name := range old {
		if !slices.ContainsFunc(e.Programs, func(p espProgram) bool { return strings.EqualFold(p.name(), name) }) && !reserved(name) && !strings.Contains(name, "/") {
			gone = append(gone, name)
		}
	}
	return gone
}
