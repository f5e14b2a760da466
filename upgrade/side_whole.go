package upgrade

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// withoutManifest takes a release of the first psyopsOS, which has no manifest
// and no size in its signature. It is verified whole, at its end; until then
// none of its files has its name.
func (a *applying) withoutManifest(r *step.Reporter) error {
	if a.Release.Size > 0 {
		return fmt.Errorf("the tar begins with %q where %s belongs", a.first.Name, layout.Manifest)
	}
	a.whole = true
	r.Note("a release of the first psyopsOS: it has no manifest, and is verified whole when it is written")
	return nil
}

// writeWhole writes such a release, and leaves behind what a manifest would
// have said.
func (a *applying) writeWhole(_ context.Context, w *sideWriter) error {
	files, err := w.unverifiedMembers(a.Side.Room)
	if err != nil {
		return err
	}
	if _, err := a.source.verifier.Verify(); err != nil {
		return errors.Join(err, w.clear())
	}
	release.SortFiles(files)
	a.manifest = release.Manifest{Files: files}
	for _, name := range []string{layout.Kernel, layout.Initramfs, layout.Squashfs, layout.Modloop} {
		if _, ok := a.manifest.File(name); !ok {
			return fmt.Errorf("the release has no %s: it would not boot", name)
		}
	}
	for _, f := range files {
		if err := w.root.Rename(f.Path+unverified, f.Path); err != nil {
			return err
		}
	}
	return nil
}

// unverifiedMembers writes all members as NAME.unverified, and reads the tar to
// its very end.
func (w *sideWriter) unverifiedMembers(room int64) (files []release.File, err error) {
	for header := w.first; ; {
		name := path.Clean(header.Name)
		if header.Typeflag != tar.TypeDir {
			if header.Typeflag != tar.TypeReg || !isOldMember(name) || slices.Contains(w.seen, name) {
				return nil, fmt.Errorf("the tar has %q, which is no member of a release, or is there twice", header.Name)
			}
			if room -= header.Size; header.Size < 0 || room < 0 {
				return nil, fmt.Errorf("%s: the release is larger than %s has room for", name, w.label)
			}
			w.seen = append(w.seen, name)
			f, err := w.unverifiedMember(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			files = append(files, f)
		}
		if header, err = w.tar.Next(); errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	_, err = io.Copy(io.Discard, w.source)
	return files, err
}

func isOldMember(name string) bool {
	if name == layout.Manifest || name == layout.ManifestSignature {
		return false
	}
	return slices.Contains(layout.OSMembers(), name) || fs.ValidPath(name) && strings.HasPrefix(name, layout.DeviceTrees+"/") && !strings.HasSuffix(name, unverified)
}

func (w *sideWriter) unverifiedMember(name string) (release.File, error) {
	if dir := path.Dir(name); dir != "." {
		if err := w.root.MkdirAll(dir, 0o755); err != nil {
			return release.File{}, err
		}
	}
	f, err := w.root.OpenFile(name+unverified, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return release.File{}, err
	}
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(&early{f: f}, h), struct{ io.Reader }{w.tar}, make([]byte, writeBytes))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return release.File{}, err
	}
	return release.File{Path: name, Size: n, SHA256: sumOf(h)}, nil
}
