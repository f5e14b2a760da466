package upgrade

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"psyopsOS/layout"
	"psyopsOS/release"
)

// kexecFileLoad loads a kernel, to be started by reboot(2).
func kexecFileLoad(kernel, initramfs *os.File, words string) error {
	return unix.KexecFileLoad(int(kernel.Fd()), int(initramfs.Fd()), words, 0)
}

// verifiedManifest is the manifest of the side at root.
func verifiedManifest(keys release.Keys, root string) (release.Manifest, error) {
	text, err := readBounded(filepath.Join(root, layout.Manifest), release.MaxManifest)
	if err != nil {
		return release.Manifest{}, err
	}
	signatures, err := signaturesAt(root, layout.ManifestSignature)
	if err != nil {
		return release.Manifest{}, err
	}
	return keys.VerifyManifest(text, signatures...)
}

// verifiedCopy is a copy in RAM of a side's file, which is the one that the
// manifest names.
func verifiedCopy(m release.Manifest, root, name string) (_ *os.File, err error) {
	want, ok := m.File(name)
	if !ok {
		return nil, fmt.Errorf("the manifest names no %s", name)
	}
	from, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	defer from.Close()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("a file in RAM: %w", err)
	}
	to := os.NewFile(uintptr(fd), name)
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, h), io.LimitReader(from, want.Size+1))
	if err == nil && (n != want.Size || sumOf(h) != want.SHA256) {
		err = fmt.Errorf("%s is not the file that was signed", name)
	}
	if err == nil {
		_, err = to.Seek(0, io.SeekStart)
	}
	if err != nil {
		to.Close()
		return nil, err
	}
	return to, nil
}
