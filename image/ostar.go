package image

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// OSTarOptions say what a release of the operating system consists of.
type OSTarOptions struct {
	Members      map[string]string // name in the tar (layout's) → file of the build machine
	Version      string            // YYYYmmdd-HHMMSS, UTC; the time of everything in the tar
	Architecture string
	Kernel       string // the kernel's version
	Userland     string // name and release: "alpine 3.20"
	Key          release.SecretKey
	Cosigners    []release.SecretKey // further keys, where a threshold wants several signatures
	Now          time.Time           // a version in the future is refused
	Dir          string              // where tar and signature go
}

// An OSRelease is a release on the build machine.
type OSRelease struct {
	Manifest  release.Manifest
	Info      release.Info
	Tar       string
	Signature string
}

// OSTar writes the tar of a release, manifest first and the manifest's
// signatures behind it, and its own signatures beside it (FORMATS.md, sections 1 and
// 4). The same input gives the same bytes. No member is held in memory. It
// refuses a release that the keys in its own initramfs would not verify: no
// machine could boot it.
func OSTar(ctx context.Context, o OSTarOptions, progress disk.Progress) (rel OSRelease, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the release %s: %w", o.Version, err)
		}
	}()
	mtime, err := o.check()
	if err != nil {
		return OSRelease{}, err
	}
	keys, err := InitramfsKeys(o.Members[layout.Initramfs])
	if err != nil {
		return OSRelease{}, err
	}
	if rel.Manifest, err = o.manifest(ctx); err != nil {
		return OSRelease{}, err
	}
	head, err := o.head(rel.Manifest, keys)
	if err != nil {
		return OSRelease{}, err
	}
	rel.Info = release.Info{Kind: release.OS, Version: o.Version, Kernel: o.Kernel,
		Userland: release.UserlandWord(o.Userland), Architecture: o.Architecture,
		Filename: release.Name{Kind: release.OS, Platform: o.Architecture, Version: o.Version}.String()}
	rel.Tar = filepath.Join(o.Dir, rel.Info.Filename)
	members := head
	for _, f := range rel.Manifest.Files {
		members = append(members, tarMember{disk.File{Path: f.Path, Source: o.Members[f.Path]}, f.SHA256})
	}
	if err := writeTar(ctx, rel.Tar, mtime, members, progress); err != nil {
		return OSRelease{}, err
	}
	if rel.Signature, err = signTar(ctx, rel.Tar, &rel.Info, o.signers()); err != nil {
		return OSRelease{}, err
	}
	return rel, nil
}

// check refuses what cannot become a release, and gives the version's time.
func (o OSTarOptions) check() (time.Time, error) {
	for _, name := range []string{layout.Kernel, layout.Initramfs, layout.Squashfs, layout.Modloop} {
		if o.Members[name] == "" {
			return time.Time{}, fmt.Errorf("no %s: a side does not boot without one", name)
		}
	}
	return pastVersion(o.Version, o.Now)
}

// pastVersion is the version's time. A version in the future is refused: it
// would be the newest on every node until then.
func pastVersion(version string, now time.Time) (time.Time, error) {
	t, err := release.VersionTime(version)
	if err == nil && t.After(now) {
		return time.Time{}, step.WithHint(fmt.Errorf("the version lies %s in the future", t.Sub(now).Round(time.Second)),
			"set this machine's clock, or SOURCE_DATE_EPOCH")
	}
	return t, err
}

// manifest hashes the members.
func (o OSTarOptions) manifest(ctx context.Context) (release.Manifest, error) {
	m := release.Manifest{Release: o.Version, Architecture: o.Architecture, Kernel: o.Kernel, Userland: o.Userland}
	for name, source := range o.Members {
		f, err := memberOf(ctx, name, source)
		if err != nil {
			return release.Manifest{}, fmt.Errorf("%s: %w", name, err)
		}
		m.Files = append(m.Files, f)
	}
	return release.NewManifest(m)
}

// head is the manifest and its signatures, which the keys must verify.
func (o OSTarOptions) head(m release.Manifest, keys release.Keys) ([]tarMember, error) {
	manifest := m.JSON()
	signatures, err := release.SignAll(o.signers(), func(key release.SecretKey) ([]byte, error) {
		return release.Sign(key, bytes.NewReader(manifest), m.Comment(), untrusted(layout.Manifest))
	})
	if err != nil {
		return nil, err
	}
	if _, err := keys.VerifyManifest(manifest, release.Texts(signatures)...); err != nil {
		return nil, step.WithHint(fmt.Errorf("the keys in the initramfs do not verify this release: %w", err),
			"sign with as many of the keys that the initramfs trusts as its threshold says (%d)", keys.Threshold())
	}
	members := []tarMember{{disk.File{Path: layout.Manifest, Data: manifest}, ""}}
	for _, s := range signatures {
		members = append(members, tarMember{disk.File{Path: layout.ManifestSignature + s.Suffix, Data: s.Text}, ""})
	}
	return members, nil
}

func (o OSTarOptions) signers() []release.SecretKey {
	return append([]release.SecretKey{o.Key}, o.Cosigners...)
}
