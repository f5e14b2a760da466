package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// BootSum renders BOOT.SUM, by which GRUB's hashsum checks kernel and
// initramfs: sha256sum's lines, names without a slash before them (GRUB puts
// its --prefix and a slash there).
func BootSum(m release.Manifest) ([]byte, error) {
	var b []byte
	for _, name := range []string{layout.Kernel, layout.Initramfs} {
		f, ok := m.File(name)
		if !ok {
			return nil, fmt.Errorf("render %s: the manifest has no %s", layout.BootSum, name)
		}
		b = fmt.Appendf(b, "%s  %s\n", f.SHA256, name)
	}
	return b, nil
}

// WriteSide unpacks the release's tar into the new folder dir, as the side of
// a disk holds it, and verifies all of it on the way. SideFiles adds what
// tells a side apart.
func WriteSide(ctx context.Context, dir, tarName string, keys release.Keys) (m release.Manifest, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("unpack %s: %w", tarName, err)
		}
	}()
	signatures, err := release.ReadSignatures(os.DirFS(filepath.Dir(tarName)), filepath.Base(tarName)+".minisig")
	if err != nil {
		return m, err
	}
	verifier, err := keys.Verifier(release.Texts(signatures)...)
	if err != nil {
		return m, err
	}
	in, err := os.Open(tarName)
	if err != nil {
		return m, err
	}
	defer in.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return m, err
	}
	all := io.TeeReader(patient{ctx, in}, verifier)
	if m, err = unpackSide(dir, tar.NewReader(all), keys); err != nil {
		return m, err
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return m, err
	}
	if _, err := verifier.Verify(); err != nil {
		return m, err
	}
	return m, finishSide(dir, m, signatures)
}

// unpackSide reads the manifest and its signatures, and then what the manifest
// names, no more and no less.
func unpackSide(dir string, t *tar.Reader, keys release.Keys) (m release.Manifest, err error) {
	manifest, err := takeSmall(dir, t, layout.Manifest, release.MaxManifest)
	if err != nil {
		return m, err
	}
	signature, err := takeSmall(dir, t, layout.ManifestSignature, release.MaxSignature)
	if err != nil {
		return m, err
	}
	signatures := [][]byte{signature}
	header, err := t.Next()
	for ; err == nil && release.IsManifestSignature(header.Name) && len(signatures) < release.MaxSignatures; header, err = t.Next() {
		if signature, err = takeContent(dir, t, header, release.MaxSignature); err != nil {
			return m, err
		}
		signatures = append(signatures, signature)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return m, err
	}
	var wrong error
	if m, wrong = keys.VerifyManifest(manifest, signatures...); wrong != nil {
		return m, wrong
	}
	missing := slices.Clone(m.Files)
	for ; !errors.Is(err, io.EOF); header, err = t.Next() {
		if err != nil {
			return m, err
		}
		i := slices.IndexFunc(missing, func(f release.File) bool { return f.Path == header.Name })
		if i < 0 || header.Typeflag != tar.TypeReg {
			return m, fmt.Errorf("%q is not a file of the manifest, or is there twice", header.Name)
		}
		if err := takeVerified(dir, t, missing[i]); err != nil {
			return m, err
		}
		missing = slices.Delete(missing, i, i+1)
	}
	if len(missing) > 0 {
		return m, fmt.Errorf("%d files of the manifest are missing, first %s", len(missing), missing[0].Path)
	}
	return m, nil
}

// takeSmall takes the next member, which must be the named one.
func takeSmall(dir string, t *tar.Reader, name string, limit int64) ([]byte, error) {
	header, err := t.Next()
	if err != nil {
		return nil, err
	}
	if header.Name != name {
		return nil, fmt.Errorf("found %q of %d bytes, want %s of at most %d", header.Name, header.Size, name, limit)
	}
	return takeContent(dir, t, header, limit)
}

func takeContent(dir string, t *tar.Reader, header *tar.Header, limit int64) ([]byte, error) {
	name := header.Name
	if header.Typeflag != tar.TypeReg || header.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d belong there", name, header.Size, limit)
	}
	content, err := io.ReadAll(t)
	if err != nil {
		return nil, err
	}
	return content, os.WriteFile(filepath.Join(dir, name), content, 0o644)
}

func takeVerified(dir string, r io.Reader, want release.File) error {
	h := sha256.New()
	counted := int64(0)
	tee := io.TeeReader(r, io.MultiWriter(h, told(func(n int64) { counted += n })))
	if err := writeBelow(dir, want.Path, tee); err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != want.SHA256 || counted != want.Size {
		return fmt.Errorf("%s has %d bytes with sha256 %s, but the manifest says %d and %s", want.Path, counted, got, want.Size, want.SHA256)
	}
	return nil
}

// finishSide writes what only a whole, verified side has.
func finishSide(dir string, m release.Manifest, signatures []release.Beside) error {
	sum, err := BootSum(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, layout.BootSum), sum, 0o644); err != nil {
		return err
	}
	for _, s := range slices.Backward(signatures) {
		if err := os.WriteFile(filepath.Join(dir, layout.OSTarSignature+s.Suffix), s.Text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// SideFiles lists the files of the side label, made from WriteSide's folder:
// kernel and initramfs first, the file named like the label, and the
// signature, by which a side counts as complete, last.
func SideFiles(dir string, label layout.Label) ([]disk.File, error) {
	if !label.IsSide() {
		return nil, fmt.Errorf("%q is no side", label)
	}
	files, err := disk.Tree(dir)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(files, func(f disk.File) bool { return f.Path == layout.OSTarSignature }) {
		return nil, fmt.Errorf("%s has no %s: %w", dir, layout.OSTarSignature, fs.ErrNotExist)
	}
	files = append(files, disk.File{Path: string(label), Data: []byte(label)})
	rank := func(f disk.File) int {
		return map[string]int{layout.Kernel: -2, layout.Initramfs: -1, layout.OSTarSignature: 1}[f.Path]
	}
	slices.SortStableFunc(files, func(a, b disk.File) int { return rank(a) - rank(b) })
	return files, nil
}
