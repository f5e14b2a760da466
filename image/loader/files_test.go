package loader

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

func freshDisk() Disk {
	when := time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC)
	state, tries := bootstate.Initial("20261121-101500", when)
	return Disk{
		Loader: bytes.Repeat([]byte("MZ loader"), 80_000), State: state, Tries: tries,
		Menu:     bootstate.Menu{Timeout: 5},
		Programs: []disk.File{{Path: layout.Manifest, Data: []byte("{}")}, {Path: "memtest64.efi", Data: make([]byte, 200_000)}},
	}
}

func espOf(t *testing.T, files []disk.File, label layout.Label, mib int64) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "esp")
	if err := disk.FAT(t.Context(), name, disk.FATOptions{Label: string(label), SizeBytes: mib << 20}, files, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestTheStateFilesStandAloneBetweenPadding(t *testing.T) {
	d := freshDisk()
	first, second, err := d.Files()
	if err != nil {
		t.Fatal(err)
	}
	single, err := d.Single()
	if err != nil {
		t.Fatal(err)
	}
	esp1, esp2, only := espOf(t, first, layout.EFISystem, 300), espOf(t, second, layout.EFISystem2, 64), espOf(t, single, layout.EFISystem, 300)
	standAlone(t, "first", esp1, first, layout.State1, layout.Tries, layout.Fail, layout.Menu)
	standAlone(t, "second", esp2, second, layout.State2)
	standAlone(t, "only", only, single, layout.State1, layout.State2, layout.Tries, layout.Fail, layout.Menu)

	for name, c := range map[string]bootstate.Copies{"five partitions": bootstate.ReadCopies(esp1, esp2), "four": bootstate.ReadCopies(only, nil)} {
		state, copy := bootstate.Pick(c.State1, c.State2)
		if state != d.State || copy != 2 || bootstate.ParseTries(c.Tries) != d.Tries || bootstate.ParseMenu(c.Menu).Timeout != 5 || len(c.Errors) > 0 {
			t.Errorf("%s: read back %+v from copy %d, %+v", name, state, copy, c.Errors)
		}
	}
}

// standAlone wants each block in an aligned 4 KiB of its own, and nothing but
// padding for 256 KiB around it.
func standAlone(t *testing.T, which string, esp io.ReaderAt, files []disk.File, blocks ...string) {
	t.Helper()
	extents := map[string]bootstate.Extent{}
	for _, f := range files {
		// Locate knows names of the 8.3 kind: for others, their alias.
		path := strings.NewReplacer("manifest.json", "MANIFE~1.JSO", "memtest64.efi", "MEMTES~1.EFI").Replace(f.Path)
		e, err := bootstate.Locate(esp, path)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Contiguous {
			t.Errorf("%s: %s is not in one piece", which, f.Path)
		}
		extents[f.Path] = e
	}
	for _, block := range blocks {
		at := extents[block].Offset
		if at%4096 != 0 || extents[block].Size != layout.EnvironmentBlock {
			t.Errorf("%s: %s: %d bytes at %d, want 512 at a multiple of 4096", which, block, extents[block].Size, at)
		}
		for path, e := range extents {
			near := int64(layout.PaddingAroundState)
			if strings.Contains(path, "/PAD") {
				near = 0
			}
			if path != block && e.Offset < at+4096+near && at-near < e.Offset+e.Size {
				t.Errorf("%s: %s at %d is too near to %s at %d", which, path, e.Offset, block, at)
			}
		}
		if first := extents[layout.StateDir+"/PAD0.TXT"].Offset; at-first < layout.PaddingAroundState {
			t.Errorf("%s: %s at %d, but the padding begins at %d", which, block, at, first)
		}
	}
}

func TestTheTwinHasRoomForALargerLoader(t *testing.T) {
	d := freshDisk()
	first, _, err := d.Files()
	if err != nil {
		t.Fatal(err)
	}
	// They change places, so both have it.
	for _, path := range []string{layout.Loader, layout.LoaderSpare} {
		i := slices.IndexFunc(first, func(f disk.File) bool { return f.Path == path })
		if i < 0 || len(first[i].Data) < len(d.Loader)+spareRoom || !bytes.HasPrefix(first[i].Data, d.Loader) {
			t.Errorf("%s is missing, too small, or no loader", path)
		}
	}
	d.Loader = nil
	if _, _, err := d.Files(); err == nil {
		t.Error("a disk without a loader is made")
	}
	d = freshDisk()
	d.State.Good = ""
	if _, _, err := d.Files(); err == nil {
		t.Error("a disk with an invalid state is made")
	}
}
