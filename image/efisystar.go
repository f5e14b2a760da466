package image

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// EFISysTarOptions say what a release of the EFI system partition consists of.
type EFISysTarOptions struct {
	Files    []disk.File // the loader; no state: that belongs to each disk
	Programs []EFIProgram
	Version  string // YYYYmmdd-HHMMSS, UTC; the time of everything in the tar
	Key      release.SecretKey
	// Cosigners are further keys, where a threshold wants several signatures.
	Cosigners []release.SecretKey
	Now       time.Time // a version in the future is refused
	Dir       string    // where tar and signature go
}

// An ESPRelease is a release of the ESP on the build machine.
type ESPRelease struct {
	Info      release.Info
	Tar       string
	Signature string
}

// EFISysTar writes the tar of an ESP release, manifest.json first and the
// rest sorted, and its signature beside it. The same input gives the same
// bytes.
func EFISysTar(ctx context.Context, o EFISysTarOptions, progress disk.Progress) (rel ESPRelease, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the ESP release %s: %w", o.Version, err)
		}
	}()
	mtime, err := pastVersion(o.Version, o.Now)
	if err != nil {
		return ESPRelease{}, err
	}
	members, err := o.members()
	if err != nil {
		return ESPRelease{}, err
	}
	rel.Info = release.Info{Kind: release.ESP, Version: o.Version,
		Filename: release.Name{Kind: release.ESP, Platform: release.UEFI, Version: o.Version}.String()}
	for _, p := range o.Programs {
		rel.Info.Programs = append(rel.Info.Programs, p.Name)
	}
	rel.Tar = filepath.Join(o.Dir, rel.Info.Filename)
	if err := writeTar(ctx, rel.Tar, mtime, members, progress); err != nil {
		return ESPRelease{}, err
	}
	if rel.Signature, err = signTar(ctx, rel.Tar, &rel.Info, append([]release.SecretKey{o.Key}, o.Cosigners...)); err != nil {
		return ESPRelease{}, err
	}
	return rel, nil
}

func (o EFISysTarOptions) members() ([]tarMember, error) {
	programs, err := ProgramFiles(o.Programs)
	if err != nil {
		return nil, err
	}
	var members []tarMember
	loader := false
	for _, f := range append(programs, o.Files...) {
		if f.Path == layout.StateDir || strings.HasPrefix(f.Path, layout.StateDir+"/") {
			return nil, fmt.Errorf("%s: the boot loader's state is each disk's own and no part of a release", f.Path)
		}
		if slices.ContainsFunc(members, func(m tarMember) bool { return strings.EqualFold(m.Path, f.Path) }) {
			return nil, fmt.Errorf("%s is there twice", f.Path)
		}
		loader = loader || f.Path == layout.Loader
		members = append(members, tarMember{f, ""})
	}
	if !loader {
		return nil, fmt.Errorf("no %s: the firmware would find no loader", layout.Loader)
	}
	rest := members[1:] // behind manifest.json
	slices.SortFunc(rest, func(a, b tarMember) int { return strings.Compare(path.Clean(a.Path), path.Clean(b.Path)) })
	return members, nil
}
