package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

// mountSide mounts the side so that nothing is written to the disk: noload
// keeps ext4 from replaying its journal.
func (j *journey) mountSide(ctx context.Context, r *step.Reporter) error {
	m := mounts.Mount{
		Source: j.side.Path(), Target: j.m.path(sideMount(j.c.Side)),
		Type: j.side.Type, Flags: mounts.ReadOnly | mounts.NoDev | mounts.NoSUID | mounts.NoExec,
	}
	if m.Type == "ext4" {
		m.Data = "noload"
	}
	if j.c.RootFlags != "" {
		m.Data = strings.TrimLeft(m.Data+","+j.c.RootFlags, ",")
	}
	if err := j.m.Storage.Mount(m); err != nil {
		return step.WithHint(err, "the volume may be damaged: choose %s in the GRUB menu", j.c.Side.Other())
	}
	return nil
}

// verifyManifest believes the manifest before any of its words is used.
func (j *journey) verifyManifest(ctx context.Context, r *step.Reporter) error {
	manifest, err := j.readManifest(r)
	if err != nil {
		err = j.otherSide(err)
		if j.c.Verify == VerifyRequire {
			return err
		}
		r.Warn(err)
		return nil
	}
	if err := fits(manifest); err != nil {
		return j.otherSide(err)
	}
	if manifest.Kernel != j.m.Kernel {
		r.Warn(step.WithHint(fmt.Errorf("the running kernel is %s, release %s has %s: its drivers will not load", j.m.Kernel, manifest.Release, manifest.Kernel),
			"kernel and initramfs come from another release: choose a side in the GRUB menu"))
	}
	j.manifest = manifest
	r.Fact("release", manifest.Release, "release %s, %s, kernel %s", manifest.Release, manifest.Userland, manifest.Kernel)
	return nil
}

// fits refuses a signed manifest of something that is no system for this
// machine.
func fits(m release.Manifest) error {
	if m.Type != release.OS {
		return fmt.Errorf("the manifest is of a release of type %s, not %s", m.Type, release.OS)
	}
	if own := architecture(); m.Architecture != own {
		return fmt.Errorf("the manifest is of a release for %s, this machine is %s", m.Architecture, own)
	}
	return nil
}

// architecture is this machine's, by the kernel's name.
func architecture() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

func (j *journey) readManifest(r *step.Reporter) (release.Manifest, error) {
	if j.c.Verify == VerifyOff {
		return release.Manifest{}, errors.New("psyopsos.verify=off: nothing on this side is verified")
	}
	keys, err := j.m.Keys()
	if err != nil {
		return release.Manifest{}, err
	}
	text, err := readBounded(j.source(layout.Manifest), release.MaxManifest)
	if err != nil {
		return release.Manifest{}, err
	}
	beside, err := release.ReadSignatures(os.DirFS(j.source("")), layout.ManifestSignature)
	if err != nil {
		return release.Manifest{}, fmt.Errorf("%s: %w", j.source(layout.ManifestSignature), err)
	}
	manifest, vouched, err := keys.VouchedManifest(text, release.Texts(beside)...)
	for _, key := range vouched.By {
		if key.IsDevelopment() {
			r.Note("signed by a development key, which has no password: not for machines that matter")
		}
	}
	return manifest, err
}

// otherSide adds the hint that helps against whatever is wrong with a side.
func (j *journey) otherSide(err error) error {
	return step.WithHint(err, "choose %s in the GRUB menu, and run `neuralupgrade apply` from there", j.c.Side.Other())
}

// readBounded reads a small file of the side.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %s", path, step.Bytes(limit))
	}
	return data, err
}
