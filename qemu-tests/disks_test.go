//go:build qemu

package qemutests

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/mounts"
)

func images(t testing.TB) Images {
	t.Helper()
	i, err := suite.Images()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// ownDisk is a copy of the shared disk with GUIDs of its own, as another
// medium has, and the PARTUUID of its side A.
func ownDisk(t testing.TB) (path, sideA string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "disk.img")
	run(t, "cp", "--sparse=always", images(t).Disk, path)
	if err := disk.Regenerate(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	return path, partition(t, path, layout.SideA).UUID
}

// partition finds a volume's partition on a disk image.
func partition(t testing.TB, path string, label layout.Label) mounts.Partition {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	gpt, err := mounts.ReadGPT(f, info.Size(), 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range layout.Volumes() {
		for _, p := range gpt.Partitions {
			if v.Label == label && p.Number == v.Number {
				return p
			}
		}
	}
	t.Fatalf("%s has no partition for %s", path, label)
	return mounts.Partition{}
}

// A volume is one partition of a disk image, as a state device.
type volume struct {
	*io.SectionReader
	f      *os.File
	offset int64
}

func (v volume) WriteAt(p []byte, off int64) (int, error) { return v.f.WriteAt(p, v.offset+off) }
func (v volume) SectorSize() int                          { return 512 }

func openVolume(t testing.TB, path string, label layout.Label) volume {
	t.Helper()
	p := partition(t, path, label)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return volume{io.NewSectionReader(f, p.Start, p.Size), f, p.Start}
}

// changeState writes both copies of the boot loader's state.
func changeState(t testing.TB, path string, change func(*bootstate.State)) {
	t.Helper()
	first, second := openVolume(t, path, layout.EFISystem), openVolume(t, path, layout.EFISystem2)
	copies := bootstate.ReadCopies(first, second)
	state, picked := bootstate.Pick(copies.State1, copies.State2)
	if picked == 0 {
		t.Fatalf("the disk has no valid state: %v", copies.Errors)
	}
	change(&state)
	content, err := state.Render()
	if err != nil {
		t.Fatal(err)
	}
	for path, v := range map[string]volume{layout.State1: first, layout.State2: second} {
		if err := bootstate.Write(v, path, content, false); err != nil {
			t.Fatal(err)
		}
	}
}

// triesOf is the loader's count on a disk image.
func triesOf(t testing.TB, path string) bootstate.Tries {
	t.Helper()
	content, err := bootstate.ReadFile(openVolume(t, path, layout.EFISystem), layout.Tries)
	if err != nil {
		t.Fatal(err)
	}
	return bootstate.ParseTries(content)
}

// emptySide is a disk with nothing but an empty ext4 volume.
func emptySide(t testing.TB, label string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.img")
	run(t, "truncate", "-s", "16M", path)
	run(t, "/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-L", label, path)
	return path
}

// squashfsSums is what `sha256sum` says of the sums of all files, as another
// program than the kernel reads them.
func squashfsSums(t testing.TB, squashfs string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	run(t, "unsquashfs", "-q", "-n", "-no-xattrs", "-excludes", "-d", dir, squashfs, "dev")
	out := run(t, "sh", "-c", "cd '"+dir+"' && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum")
	return strings.TrimSpace(out)
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.Bytes())
	}
	return string(stdout)
}
