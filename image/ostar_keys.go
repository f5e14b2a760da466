package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"psyopsOS/layout"
	"psyopsOS/release"
)

// maxInitramfs bounds what an initramfs may unpack to: a release's keys are
// read from it in memory.
const maxInitramfs = 512 << 20

// InitramfsKeys are the keys that an initramfs made by Initramfs trusts.
func InitramfsKeys(name string) (release.Keys, error) {
	keys, err := initramfsKeys(name)
	if err != nil {
		return release.Keys{}, fmt.Errorf("read the keys of the initramfs %s: %w", name, err)
	}
	return keys, nil
}

// The bits of a mode that tell a regular file.
const (
	fileType = 0o170000
	regular  = 0o100000
)

func initramfsKeys(name string) (release.Keys, error) {
	archive, err := unpackInitramfs(name)
	if err != nil {
		return release.Keys{}, err
	}
	records, err := readArchive(archive)
	if err != nil {
		return release.Keys{}, err
	}
	root, err := os.MkdirTemp("", "psyopsOS-keys-")
	if err != nil {
		return release.Keys{}, err
	}
	defer os.RemoveAll(root)
	wanted := []string{member(layout.PublicKey), member(layout.KeysDir)}
	for _, r := range records {
		if !slices.ContainsFunc(wanted, func(w string) bool { return r.Name == w || filepath.Dir(r.Name) == w }) || r.Mode&fileType != regular {
			continue
		}
		if err := writeBelow(root, r.Name, io.NewSectionReader(r, 0, int64(r.FileSize))); err != nil {
			return release.Keys{}, err
		}
	}
	return release.ReadKeys(os.DirFS(root))
}

// writeBelow writes a new file and the folders it needs; name cannot lead out
// of root.
func writeBelow(root, name string, r io.Reader) (err error) {
	confined, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer confined.Close()
	if err := confined.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := confined.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

func unpackInitramfs(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	archive, err := io.ReadAll(io.LimitReader(z, maxInitramfs+1))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if len(archive) > maxInitramfs {
		return nil, fmt.Errorf("it unpacks to more than %d bytes", maxInitramfs)
	}
	return archive, nil
}
