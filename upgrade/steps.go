package upgrade

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/step"
)

// A Phase is a part of a plan's effects.
type Phase string

// The phases, each of which is one step.
const (
	fetchManifest  Phase = "fetch the manifest"
	giveWay        Phase = "give the side's place away"
	markIncomplete Phase = "mark the side incomplete"
	writeSide      Phase = "write the side"
	readManifest   Phase = "read the manifest on the side"
	readBack       Phase = "read the side back"
	putOnTrial     Phase = "put the side on trial"
)

// Phases are the plan's effects in the order that makes a power cut harmless
// (POWERCUT.md, rules 5 and 6): the booted side has given its place away before
// it is touched, nothing of a side that is being written counts as a release
// before its signature lies there, and the boot loader's state comes last.
func (p Plan) Phases() []Phase {
	var phases []Phase
	add := func(wanted bool, more ...Phase) {
		if wanted && !p.Current {
			phases = append(phases, more...)
		}
	}
	add(!p.Written, fetchManifest)
	add(len(p.Before) > 0, giveWay)
	add(!p.Written, markIncomplete, writeSide)
	add(p.Written, readManifest)
	add(true, readBack)
	add(p.Trial, putOnTrial)
	return phases
}

// Steps are the phases as steps.
func (p Plan) Steps(e Env, found repo.Release, keys release.Keys) (steps []step.Step) {
	a := &applying{Plan: p, e: e, found: found, keys: keys}
	for _, phase := range p.Phases() {
		steps = append(steps, a.step(phase))
	}
	return steps
}

func (a *applying) step(phase Phase) step.Step {
	label := a.Side.Label
	state := func(writes []StateWrite, was bootstate.Copies) func(context.Context, *step.Reporter) error {
		return func(_ context.Context, r *step.Reporter) error { return writeState(a.e, writes, was, a.LoaderDisk, r) }
	}
	return map[Phase]step.Step{
		fetchManifest:  {Name: "fetch the manifest", Do: a.fetchManifest},
		giveWay:        {Name: a.places(), Do: state(a.Before, a.BeforeWas)},
		markIncomplete: {Name: "mark " + label + " incomplete", Do: a.markIncomplete},
		writeSide:      {Name: "write " + label, Do: a.writeSide},
		readManifest:   {Name: "read the manifest on " + label, Do: a.readOwnManifest},
		readBack:       {Name: "read " + label + " back", Do: a.readBack},
		putOnTrial:     {Name: "put " + label + " on trial", Do: state(a.Writes, a.LoaderWas)},
	}[phase]
}

// applying is one update. Each field is written by the step named beside it.
type applying struct {
	Plan
	e     Env
	found repo.Release
	keys  release.Keys

	source       *splice          // fetch the manifest
	tar          *tar.Reader      // fetch the manifest
	manifest     release.Manifest // fetch the manifest
	manifestText []byte
	manifestSigs []release.Beside
	first        *tar.Header // the member behind them
	whole        bool        // there is no manifest: it is made while the side is written
}

// fetchManifest reads the manifest and its signatures, the first members. A release that is refused here
// has changed nothing.
func (a *applying) fetchManifest(ctx context.Context, r *step.Reporter) error {
	verifier, err := a.keys.Verifier(a.found.Signatures...)
	if err != nil {
		return err
	}
	a.source = &splice{ctx: ctx, from: a.found.Open(ctx), verifier: verifier, hash: verifier, tell: func(int64) {}}
	a.tar = tar.NewReader(a.source)
	if a.first, err = a.tar.Next(); err != nil {
		return err
	}
	if a.first.Name != layout.Manifest {
		return a.withoutManifest(r)
	}
	if a.manifestText, err = a.content(a.first, layout.Manifest, release.MaxManifest); err != nil {
		return err
	}
	if err := a.fetchSignatures(); err != nil {
		return err
	}
	if a.manifest, err = a.keys.VerifyManifest(a.manifestText, release.Texts(a.manifestSigs)...); err != nil {
		return err
	}
	return a.agrees()
}

// fetchSignatures reads the manifest's signatures, of which one must be there,
// and the header behind them.
func (a *applying) fetchSignatures() error {
	text, err := a.small(layout.ManifestSignature, release.MaxSignature)
	if err != nil {
		return err
	}
	a.manifestSigs = []release.Beside{{Text: text}}
	for {
		if a.first, err = a.tar.Next(); err != nil {
			return err
		}
		if !release.IsManifestSignature(a.first.Name) || len(a.manifestSigs) == release.MaxSignatures {
			return nil
		}
		if text, err = a.content(a.first, a.first.Name, release.MaxSignature); err != nil {
			return err
		}
		a.manifestSigs = append(a.manifestSigs, release.Beside{Suffix: strings.TrimPrefix(a.first.Name, layout.ManifestSignature), Text: text})
	}
}

func (a *applying) small(name string, limit int64) ([]byte, error) {
	header, err := a.tar.Next()
	if err != nil {
		return nil, err
	}
	return a.content(header, name, limit)
}

func (a *applying) content(header *tar.Header, name string, limit int64) ([]byte, error) {
	if header.Name != name || header.Typeflag != tar.TypeReg || header.Size > limit {
		return nil, fmt.Errorf("the tar has %q of %d bytes where %s of at most %d belongs", header.Name, header.Size, name, limit)
	}
	return io.ReadAll(a.tar)
}

// agrees refuses a manifest that is of another release than the signature
// said, or of one that could not boot.
func (a *applying) agrees() error {
	m := a.manifest
	if m.Release != a.Release.Version || m.Architecture != a.Request.Architecture || m.Kernel != a.Release.Kernel {
		return fmt.Errorf("the manifest is of release %s for %s with kernel %s, the signature of %s for %s with kernel %s",
			m.Release, m.Architecture, m.Kernel, a.Release.Version, a.Request.Architecture, a.Release.Kernel)
	}
	for _, name := range []string{layout.Kernel, layout.Initramfs, layout.Squashfs, layout.Modloop} {
		if _, ok := m.File(name); !ok {
			return fmt.Errorf("the release has no %s: it would not boot", name)
		}
	}
	if m.Size() > a.Side.Room {
		return fmt.Errorf("the release has %s, %s has room for %s", step.Bytes(m.Size()), a.Side.Label, step.Bytes(a.Side.Room))
	}
	return nil
}

// with mounts the side to be written, or reads where that is asked for. A
// mock is used as it is.
func (a *applying) with(flags mounts.Flags, do func(dir string) error) error {
	if a.Side.Mock {
		return do(a.Side.MountPoint)
	}
	m := mounts.Mount{Source: a.Side.Device.Path(), Target: a.Side.MountPoint, Type: "ext4",
		Flags: flags | mounts.NoDev | mounts.NoSUID | mounts.NoExec | mounts.NoATime}
	if flags&mounts.ReadOnly != 0 {
		m.Data = "noload"
	}
	return mounts.With(a.e.Storage, m, do)
}

func (a *applying) markIncomplete(_ context.Context, r *step.Reporter) error {
	if err := a.sameSide(); err != nil {
		return err
	}
	writeBack(a.e.Root, a.Side.Device.Disk, r)
	return a.with(0, incomplete)
}

// sameSide refuses another disk in the place of the one that was looked at.
func (a *applying) sameSide() error {
	if a.Side.Mock {
		return nil
	}
	volumes, err := mounts.FindLabels(a.e.Storage)
	if err != nil {
		return err
	}
	v, err := deviceAt(volumes, a.Side.Device.Path())
	if err != nil {
		return err
	}
	if v.DiskUUID != a.Side.Device.DiskUUID || v.PartUUID != a.Side.Device.PartUUID || v.Label != a.Side.Label {
		return step.WithHint(fmt.Errorf("%s is another volume than before (%s, partition %s)", v.Path(), v.Label, v.PartUUID),
			"was the medium changed? nothing was written to it")
	}
	if v.Type != "ext4" {
		return fmt.Errorf("%s is %s, not ext4", v.Path(), v.Type)
	}
	if v.ReadOnly {
		return fmt.Errorf("%s is write-protected", v.Path())
	}
	return nil
}

func (a *applying) writeSide(ctx context.Context, r *step.Reporter) error {
	if err := a.sameSide(); err != nil {
		return err
	}
	defer a.source.from.Close()
	a.source.ctx = ctx
	a.source.tell = func(done int64) { r.Progress(done, a.Release.Size) }
	return a.with(0, func(dir string) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		w := &sideWriter{dir: dir, root: root, label: layout.Label(a.Side.Label), manifest: a.manifest, tar: a.tar, first: a.first, source: a.source}
		if err := w.clear(); err != nil {
			return err
		}
		if a.whole {
			err = a.writeWhole(ctx, w)
		} else if err = a.members(w); err == nil {
			_, err = a.source.verifier.Verify()
		}
		if err != nil {
			return err
		}
		r.Fact("fetched", a.source.fetched, "%s fetched, %s were here", step.Bytes(a.source.fetched), step.Bytes(w.reused))
		sum, err := bootSumOf(a.manifest)
		if err != nil {
			return err
		}
		head := map[string][]byte{}
		if !a.whole {
			head[layout.Manifest] = a.manifestText
		}
		for _, s := range a.manifestSigs {
			head[layout.ManifestSignature+s.Suffix] = s.Text
		}
		return w.seal(sum.Render(), head, a.signatures())
	})
}

// members writes the files while another goroutine hashes the tar for its
// signature.
func (a *applying) members(w *sideWriter) error {
	hash := newAside(a.source.verifier)
	a.source.hash = hash
	return errors.Join(w.members(), hash.wait())
}

func (a *applying) signatures() map[string][]byte {
	signatures := map[string][]byte{}
	for i, suffix := range a.found.Suffixes() {
		signatures[layout.OSTarSignature+suffix] = a.found.Signatures[i]
	}
	return signatures
}

func bootSumOf(m release.Manifest) (sum bootstate.BootSum, err error) {
	for name, to := range map[string]*[sha256.Size]byte{layout.Kernel: &sum.Kernel, layout.Initramfs: &sum.Initramfs} {
		f, _ := m.File(name)
		raw, err := hex.DecodeString(f.SHA256)
		if err != nil || len(raw) != sha256.Size {
			return sum, fmt.Errorf("the manifest has no hash of %s", name)
		}
		copy(to[:], raw)
	}
	return sum, nil
}

// readOwnManifest takes the manifest from the side, which an earlier attempt
// has written whole.
func (a *applying) readOwnManifest(_ context.Context, _ *step.Reporter) error {
	err := a.with(mounts.ReadOnly, func(dir string) (err error) {
		if a.manifestText, a.manifestSigs, err = readManifestAt(dir); err != nil {
			return err
		}
		a.manifest, err = a.keys.VerifyManifest(a.manifestText, release.Texts(a.manifestSigs)...)
		return err
	})
	if err != nil {
		return step.WithHint(err, "--force writes the side anew")
	}
	return a.agrees()
}

func readManifestAt(dir string) (text []byte, signatures []release.Beside, err error) {
	if text, err = readBounded(filepath.Join(dir, layout.Manifest), release.MaxManifest); err != nil {
		return nil, nil, err
	}
	signatures, err = release.ReadSignatures(os.DirFS(dir), layout.ManifestSignature)
	return text, signatures, err
}

// readBack reads the side from the medium, as the boot loader and init will:
// without the journal and past every cache.
func (a *applying) readBack(ctx context.Context, r *step.Reporter) error {
	if err := a.clean(); err != nil {
		return err
	}
	var done int64
	err := a.with(mounts.ReadOnly, func(dir string) error {
		for _, f := range a.manifest.Files {
			proof := f.Proof()
			_, err := mounts.CopyFile(ctx, io.Discard, filepath.Join(dir, f.Path), mounts.CopyOptions{Size: f.Size,
				Hash: proof.Whole(), Piece: proof.Piece(), Progress: func(n int64) { r.Progress(done+n, a.manifest.Size()) }})
			if err == nil {
				err = proof.Err()
			}
			if wrong := (*release.MismatchError)(nil); errors.As(err, &wrong) {
				err = step.WithHint(fmt.Errorf("%s comes back from the medium changed: %w", f.Path, wrong), "the disk is failing")
			}
			if err != nil {
				return err
			}
			done += f.Size
		}
		return bootstate.CheckSide(os.DirFS(dir))
	})
	return err
}

// clean asks whether the journal is written back: GRUB replays none.
func (a *applying) clean() error {
	if a.Side.Mock {
		return nil
	}
	volumes, err := mounts.FindLabels(a.e.Storage)
	if err != nil {
		return err
	}
	v, err := deviceAt(volumes, a.Side.Device.Path())
	if err == nil && v.NeedsRecovery {
		err = fmt.Errorf("%s still needs its journal after it was unmounted: the boot loader could not read it", v.Path())
	}
	return err
}
