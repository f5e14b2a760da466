package upgrade

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

// sum makes BOOT.SUM on the side that runs. The first psyopsOS's updater writes
// a release of ours without it, and the new loader would not start that. The
// old loader does not look at it.
func (w *espWriting) sum(r *step.Reporter) error {
	side := w.Booted
	a := &applying{Plan: Plan{Side: side}, e: w.e}
	if err := a.sameSide(); err != nil {
		return err
	}
	var sum bootstate.BootSum
	err := a.with(mounts.ReadOnly, func(dir string) (err error) {
		if sum, err = w.sumOf(dir); err != nil {
			return fmt.Errorf("%s: %w", side.Label, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = a.with(0, func(dir string) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		s := &sideWriter{dir: dir, root: root}
		return errors.Join(s.put(layout.BootSum, sum.Render()), syncFolder(dir))
	})
	if err != nil {
		return err
	}
	if err := a.clean(); err != nil {
		return err
	}
	return a.with(mounts.ReadOnly, func(dir string) error { return bootstate.CheckSide(os.DirFS(dir)) })
}

// sumOf reads kernel and initramfs, which must be those of the signed manifest.
func (w *espWriting) sumOf(dir string) (sum bootstate.BootSum, err error) {
	text, signatures, err := readManifestAt(dir)
	if err != nil {
		return sum, err
	}
	manifest, err := w.keys.VerifyManifest(text, release.Texts(signatures)...)
	if err != nil {
		return sum, err
	}
	for _, name := range []string{layout.Kernel, layout.Initramfs} {
		want, _ := manifest.File(name)
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return sum, err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return sum, err
		}
		if sumOf(h) != want.SHA256 {
			return sum, fmt.Errorf("%s is not what %s says", name, layout.Manifest)
		}
	}
	return bootSumOf(manifest)
}
