package vm

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnOverlayIsAnEmptyImageOverItsBackingFile(t *testing.T) {
	for _, c := range []struct {
		name, backing, format string
		size                  int64
		entries               uint32
	}{
		{"a small disk", "/images/disk.img", "raw", 4 << 20, 1},
		{"one byte more than an entry maps", "/images/disk.img", "raw", 512<<20 + 1, 2},
		{"over qcow2", "/images/disk.qcow2", "qcow2", 3 << 30, 6},
		{"a format that needs no padding", "/d", "luks-raw", 4096, 1},
		{"the largest", "/d", "raw", 4 << 40, 8192},
	} {
		t.Run(c.name, func(t *testing.T) {
			image, err := overlay(c.backing, c.format, c.size)
			if err != nil {
				t.Fatal(err)
			}
			be := binary.BigEndian
			at := be.Uint64(image[8:])
			if got := string(image[at : at+uint64(be.Uint32(image[16:]))]); got != c.backing {
				t.Errorf("backing file: got %q, want %q", got, c.backing)
			}
			ext := image[qcow2Header:]
			if got := string(ext[8 : 8+be.Uint32(ext[4:])]); be.Uint32(ext) != backingFormat || got != c.format {
				t.Errorf("backing format: got %q, want %q", got, c.format)
			}
			if end := (8 + len(c.format) + 7) / 8 * 8; be.Uint64(ext[end:]) != 0 || at != uint64(qcow2Header+end+8) {
				t.Errorf("the extensions do not end where the backing file's name begins, at %d", at)
			}
			if got := be.Uint64(image[24:]); got != uint64(c.size) {
				t.Errorf("size: got %d, want %d", got, c.size)
			}
			if got := be.Uint32(image[36:]); got != c.entries {
				t.Errorf("L1 entries: got %d, want %d", got, c.entries)
			}
			for _, b := range image[3*qcow2Cluster:] {
				if b != 0 {
					t.Fatal("it is not empty")
				}
			}
		})
	}
}

func TestDisksThatHaveNoOverlayAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, backing string
		size          int64
	}{
		{"empty", "/d", 0},
		{"beyond 4 TiB", "/d", 4<<40 + 1},
		{"a path that qcow2 cannot hold", strings.Repeat("/d", 512), 512},
	} {
		if _, err := overlay(c.backing, "raw", c.size); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}

func TestTheGuestSeesTheSizeOfTheBackingFile(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw.img")
	if err := os.WriteFile(raw, make([]byte, 12345), 0o600); err != nil {
		t.Fatal(err)
	}
	first := Disk{ID: "first", Path: raw, Format: "raw"}
	second := Disk{ID: "second", Path: first.overlay(dir), Format: "qcow2"}
	for _, d := range []Disk{first, second} {
		if err := writeOverlay(d, dir); err != nil {
			t.Fatal(err)
		}
		if got, err := guestSize(d.overlay(dir), "qcow2"); got != 12345 || err != nil {
			t.Errorf("over %s: got %d, %v, want 12345", d.Path, got, err)
		}
	}
	if err := writeOverlay(Disk{ID: "x", Path: raw, Format: "qcow2"}, dir); err == nil {
		t.Error("a raw image was taken for qcow2")
	}
	if err := writeOverlay(Disk{ID: "x", Path: filepath.Join(dir, "none"), Format: "raw"}, dir); err == nil {
		t.Error("no error for a file that is not there")
	}
}
