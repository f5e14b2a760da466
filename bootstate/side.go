package bootstate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"psyopsOS/layout"
)

// A BootSum is what BOOT.SUM says: the SHA-256 of kernel and initramfs, by
// which GRUB, which knows no signatures, checks what it loads.
type BootSum struct{ Kernel, Initramfs [sha256.Size]byte }

// Render is the file.
func (b BootSum) Render() []byte {
	return fmt.Appendf(nil, "%x  %s\n%x  %s\n", b.Kernel, layout.Kernel, b.Initramfs, layout.Initramfs)
}

// ParseBootSum reads the file, which must name both and nothing else: an
// empty one, or one that was cut, would vouch for nothing.
func ParseBootSum(data []byte) (BootSum, error) {
	var b BootSum
	wanted := map[string]*[sha256.Size]byte{layout.Kernel: &b.Kernel, layout.Initramfs: &b.Initramfs}
	seen := map[string]bool{}
	if len(data) > 4<<10 {
		return BootSum{}, fmt.Errorf("%s: %d bytes", layout.BootSum, len(data))
	}
	for line := range strings.Lines(string(data)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		raw, err := hex.DecodeString(sum)
		if !ok || err != nil || len(raw) != sha256.Size || wanted[name] == nil || seen[name] {
			return BootSum{}, fmt.Errorf("%s: line %q", layout.BootSum, line)
		}
		seen[name] = true
		copy(wanted[name][:], raw)
	}
	if len(seen) != len(wanted) {
		return BootSum{}, fmt.Errorf("%s names %d files, want %s and %s", layout.BootSum, len(seen), layout.Kernel, layout.Initramfs)
	}
	return b, nil
}

// ErrUnchecked is a side that was written by the first psyopsOS: GRUB starts
// it without checking it.
var ErrUnchecked = errors.New("written by the first psyopsOS: kernel and initramfs cannot be checked")

// CheckSide says why GRUB's script would not load a side that has the right
// label, or nil. For a side of the first psyopsOS, which it would load, the
// error is ErrUnchecked.
func CheckSide(side fs.FS) error {
	if !exists(side, layout.OSTarSignature) {
		return fmt.Errorf("not complete: no %s", layout.OSTarSignature)
	}
	if !exists(side, layout.Manifest) && !exists(side, layout.BootSum) {
		return ErrUnchecked
	}
	text, err := fs.ReadFile(side, layout.BootSum)
	if err != nil {
		return fmt.Errorf("not complete: %w", err)
	}
	sum, err := ParseBootSum(text)
	if err != nil {
		return fmt.Errorf("not complete: %w", err)
	}
	for name, want := range map[string][sha256.Size]byte{layout.Kernel: sum.Kernel, layout.Initramfs: sum.Initramfs} {
		got, err := hash(side, name)
		if err != nil {
			return fmt.Errorf("damaged: %w", err)
		}
		if !bytes.Equal(got, want[:]) {
			return fmt.Errorf("damaged: %s is not what %s says", name, layout.BootSum)
		}
	}
	return nil
}

func exists(side fs.FS, name string) bool {
	_, err := fs.Stat(side, name)
	return err == nil
}

func hash(side fs.FS, name string) ([]byte, error) {
	f, err := side.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, bufio.NewReaderSize(f, 1<<20)); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return h.Sum(nil), nil
}
