package image

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

const mebibyte = 1 << 20

// testDiskImage is a small disk: the ESPs at FAT32's least, the sides just
// big enough.
func testDiskImage(t *testing.T) DiskImageOptions {
	t.Helper()
	rel := mustOSTar(t, testOSTar(t))
	esp := []disk.File{{Path: layout.Loader, Data: []byte("loader")}, {Path: "grub/PAD1.BIN", Data: make([]byte, 5000)}}
	state := func(name string) disk.File {
		return disk.File{Path: name, Data: []byte(strings.Repeat("#", layout.EnvironmentBlock))}
	}
	room := disk.Ext4Room(rel.Info.Size)
	return DiskImageOptions{OSTar: rel.Tar, Keys: ourKeys(t), Out: filepath.Join(t.TempDir(), "disk.img"),
		ESP1:    append(esp, state(layout.State1), state(layout.Tries), state(layout.Fail), state(layout.Menu)),
		ESP2:    append(esp, state(layout.State2)),
		Secrets: []disk.File{{Path: "nodename", Data: []byte("demo\n"), Mode: 0o600}},
		Sizes: map[layout.Label]int64{layout.EFISystem: 34 * mebibyte, layout.EFISystem2: 34 * mebibyte,
			layout.Secret: disk.Ext4Room(1), layout.SideA: room, layout.SideB: room}}
}

// partitions cuts the image up as its table says.
func partitions(t *testing.T, o DiskImageOptions) map[layout.Label]string {
	t.Helper()
	parts := map[layout.Label]string{}
	start := int64(mebibyte)
	in, err := os.Open(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	dir := t.TempDir()
	for _, v := range layout.Volumes() {
		name := filepath.Join(dir, string(v.Label))
		out, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, io.NewSectionReader(in, start, o.Sizes[v.Label])); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		parts[v.Label], start = name, start+o.Sizes[v.Label]
	}
	return parts
}

func mustDiskImage(t *testing.T, o DiskImageOptions) {
	t.Helper()
	if err := DiskImage(context.Background(), o, nil); err != nil {
		t.Fatal(err)
	}
}

func TestADiskImageHasFiveCleanVolumesWithTheirFiles(t *testing.T) {
	o := testDiskImage(t)
	mustDiskImage(t, o)
	if out := judge(t, "sgdisk", "-v", o.Out); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	parts := partitions(t, o)
	for _, label := range []layout.Label{layout.EFISystem, layout.EFISystem2} {
		judge(t, "fsck.fat", "-n", parts[label])
	}
	for _, label := range []layout.Label{layout.Secret, layout.SideA, layout.SideB} {
		judge(t, "e2fsck", "-fn", parts[label])
	}
	for _, label := range []layout.Label{layout.SideA, layout.SideB} {
		dir := t.TempDir()
		judge(t, "debugfs", "-R", "rdump / "+dir, parts[label])
		if got, err := os.ReadFile(filepath.Join(dir, string(label))); string(got) != string(label) {
			t.Errorf("%s: its label file holds %q, %v", label, got, err)
		}
		if other, err := os.Stat(filepath.Join(dir, string(label.Other()))); err == nil {
			t.Errorf("%s has %s", label, other.Name())
		}
		t.Chdir(dir)
		judge(t, "sha256sum", "--strict", "-c", layout.BootSum)
	}
	if got := judge(t, "mtype", "-i", parts[layout.EFISystem2], "::"+layout.State2); len(got) != layout.EnvironmentBlock {
		t.Errorf("STATE2.ENV has %d bytes", len(got))
	}
	if got := judge(t, "debugfs", "-R", "cat nodename", parts[layout.Secret]); !strings.HasSuffix(got, "demo\n") {
		t.Errorf("nodename: %q", got)
	}
}

func TestStateFilesBeginAnAligned4KiBOfTheDisk(t *testing.T) {
	o := testDiskImage(t)
	mustDiskImage(t, o)
	image, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	text, found := string(image), 0
	for at := 0; ; {
		i := strings.Index(text[at:], strings.Repeat("#", layout.EnvironmentBlock))
		if i < 0 {
			break
		}
		at += i
		if at%4096 != 0 || strings.Trim(text[at+layout.EnvironmentBlock:at+4096], "\x00") != "" {
			t.Errorf("a state file begins at %d, or shares its 4 KiB", at)
		}
		found, at = found+1, at+layout.EnvironmentBlock
	}
	if found != 5 {
		t.Errorf("found %d state files, want 5", found)
	}
}

func TestTheDiskImageIsTheSameForAnotherUmaskTimeZoneAndFolder(t *testing.T) {
	o := testDiskImage(t)
	mustDiskImage(t, o)
	one, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o077))
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Chdir(t.TempDir())
	o.Out, o.Scratch = "again.img", "."
	mustDiskImage(t, o)
	two, err := os.ReadFile(o.Out)
	if err != nil || string(one) != string(two) {
		t.Errorf("differs, or %v", err)
	}
	if left, _ := os.ReadDir("."); len(left) != 1 {
		t.Errorf("left %v behind", left)
	}
}

func TestDiskImageRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, o *DiskImageOptions)
		want  string
	}{
		{"a release that was altered", func(t *testing.T, o *DiskImageOptions) { flip(layout.Kernel)(t, OSRelease{Tar: o.OSTar}) }, "but the manifest says"},
		{"a side that is too small", func(_ *testing.T, o *DiskImageOptions) { o.Sizes[layout.SideB] = 1 * mebibyte }, "psyopsOS-B"},
		{"an ESP that is too small for FAT32", func(_ *testing.T, o *DiskImageOptions) { o.Sizes[layout.EFISystem2] = 8 * mebibyte }, "too small for FAT32"},
		{"a size that is not whole MiB", func(_ *testing.T, o *DiskImageOptions) { o.Sizes[layout.Secret] += 4096 }, "whole MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testDiskImage(t)
			tt.spoil(t, &o)
			err := DiskImage(context.Background(), o, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if left, _ := os.ReadDir(filepath.Dir(o.Out)); len(left) > 0 {
				t.Errorf("left %v behind", left)
			}
		})
	}
}
