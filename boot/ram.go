package boot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

// headroom is what the running system needs beside the image before it can do
// anything useful: kernel slabs, OpenRC, sshd and a login took 40 MiB in
// testos; the rest is for the overlay's first files.
const headroom = 96 << 20

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
	text, err := readBounded(j.source(layout.Manifest), release.MaxManifest)
	if err != nil {
		return release.Manifest{}, err
	}
	file := j.source(layout.ManifestSignature)
	signature, err := readBounded(file, release.MaxSignature)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(signature) == 0 {
		err = fmt.Errorf("%s: %w", file, release.ErrUnsigned)
	}
	if err != nil {
		return release.Manifest{}, err
	}
	manifest, err := j.m.Keys.VerifyManifest(text, signature)
	if err != nil {
		return release.Manifest{}, err
	}
	vouched, err := j.m.Keys.Whole(text, signature)
	for _, key := range vouched.By {
		if key.IsDevelopment() {
			r.Note("signed by a development key, which has no password: not for machines that matter")
		}
	}
	return manifest, err
}

// planMemory decides whether the image is copied, and says what it counted.
func (j *journey) planMemory(ctx context.Context, r *step.Reporter) error {
	var need int64 = headroom
	for _, name := range []string{layout.Squashfs, layout.Modloop} {
		info, err := os.Stat(j.source(name))
		if err != nil {
			return j.otherSide(fmt.Errorf("%s is not complete: %w", j.c.Side, err))
		}
		need += info.Size()
	}
	have, err := j.m.Storage.MemAvailable()
	if err != nil {
		return err
	}
	j.toRAM, err = decideToRAM(j.c.ToRAM, need, have)
	if err != nil {
		return err
	}
	r.Fact("toram", j.toRAM, "the image needs %s with headroom, %s are free", step.Bytes(need), step.Bytes(have))
	if !j.toRAM {
		r.Warn(step.WithHint(fmt.Errorf("this system runs from its disk: copying needs %s, %s are free", step.Bytes(need), step.Bytes(have)),
			"do not pull the disk; more memory or a smaller image lets the copy happen"))
		return nil
	}
	return j.m.Storage.Mount(mounts.Mount{
		Source: "psyopsOS", Target: j.m.path(layout.MediaRAM), Type: "tmpfs",
		Flags: mounts.NoDev | mounts.NoSUID | mounts.NoExec,
		// tmpfs would stop at half of the memory by itself.
		Data: fmt.Sprintf("size=%d,mode=0755", need),
	})
}

// decideToRAM is psyopsos.toram=: auto copies where it fits, yes insists, no
// never copies.
func decideToRAM(want ToRAM, need, have int64) (bool, error) {
	switch {
	case want == ToRAMNo:
		return false, nil
	case need <= have:
		return true, nil
	case want == ToRAMYes:
		return false, step.WithHint(fmt.Errorf("copying the image needs %s, %s are free", step.Bytes(need), step.Bytes(have)),
			"boot with psyopsos.toram=auto to run from the disk")
	}
	return false, nil
}

func (j *journey) copySquashfs(ctx context.Context, r *step.Reporter) (err error) {
	j.squashfs, err = j.fetch(ctx, r, layout.Squashfs)
	return err
}

func (j *journey) copyModloop(ctx context.Context, r *step.Reporter) (err error) {
	j.modloop, err = j.fetch(ctx, r, layout.Modloop)
	return err
}

// fetch brings a file of the side to where it will be mounted from, and
// verifies it on the way: while it is copied, or where it lies. The path is
// given only for a file that may be mounted.
func (j *journey) fetch(ctx context.Context, r *step.Reporter, name string) (path string, err error) {
	want, listed := j.manifest.File(name)
	if !listed && j.c.Verify == VerifyRequire {
		return "", j.otherSide(fmt.Errorf("the manifest does not name %s", name))
	}
	from := j.source(name)
	if !j.toRAM && !listed {
		return from, nil
	}
	to, dst := from, io.WriteCloser(nowhere{})
	if j.toRAM {
		to = j.m.path(layout.MediaRAM, name)
		if dst, err = os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o444); err != nil {
			return "", err
		}
	}
	hash := sha256.New()
	options := mounts.CopyOptions{Progress: func(done int64) { r.Progress(done, want.Size) }}
	if listed {
		options.Size, options.Hash = want.Size, hash
	}
	_, err = mounts.CopyFile(ctx, dst, from, options)
	if err := errors.Join(err, dst.Close()); err != nil {
		return "", errors.Join(j.otherSide(err), j.forget(to))
	}
	if got := hex.EncodeToString(hash.Sum(nil)); listed && got != want.SHA256 {
		err := j.otherSide(fmt.Errorf("%s on %s (%s) is not the file that was signed: its SHA-256 is %s, the manifest says %s",
			name, j.c.Side, j.side.Name, got, want.SHA256))
		if j.c.Verify == VerifyRequire {
			return "", errors.Join(err, j.forget(to))
		}
		r.Warn(err)
	}
	return to, nil
}

// forget removes a copy that is not to be mounted: the step may be repeated,
// and its memory is needed.
func (j *journey) forget(path string) error {
	if !j.toRAM {
		return nil
	}
	return os.Remove(path)
}

// nowhere is where a file goes that is only hashed.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }

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
