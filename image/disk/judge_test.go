package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	testTime = time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC)
	always   = context.Background()
)

// judge runs a program that must end well, and returns what it said.
func judge(t *testing.T, name string, args ...string) string {
	t.Helper()
	program, err := find(name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func hashOf(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// noise is n bytes without a zero block, the same for the same seed.
func noise(seed byte, n int) []byte {
	sum := sha256.Sum256([]byte{seed})
	return bytes.Repeat(sum[:], n/32+1)[:n]
}

// espFiles is like the list of a real ESP: loader, state files, padding.
func espFiles() []File {
	files := []File{{Path: "EFI/BOOT/BOOTX64.EFI", Data: noise(1, 70001)}}
	for i := range 5 {
		files = append(files,
			File{Path: fmt.Sprintf("grub/PADDING%d.BIN", i), Data: make([]byte, 10000)},
			File{Path: fmt.Sprintf("grub/STATE%d.ENV", i), Data: noise(byte(i), 512), Alone: true})
	}
	for i := range 20 { // long names: four directory entries each
		files = append(files, File{Path: fmt.Sprintf("grub/a-longer-name-that-needs-more-entries-%d", i), Data: noise(9, 3000)})
	}
	return append(files, File{Path: "manifest.json", Data: []byte("{}\n")}, File{Path: "empty", Data: []byte{}})
}

func fatOptions(size int64) FATOptions {
	return FATOptions{Label: "PSYOPSESP2", SizeBytes: size, VolumeID: 0x1234ABCD}
}

func ext4Options(size int64) Ext4Options {
	return Ext4Options{Label: "psyopsOS-A", SizeBytes: size, UUID: "11111111-2222-3333-4444-555555555555",
		HashSeed: "11111111-2222-3333-4444-555555555556", Time: testTime}
}

func makeFAT(t *testing.T, size int64, files []File) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "esp.img")
	if err := FAT(always, name, fatOptions(size), files, testTime); err != nil {
		t.Fatal(err)
	}
	return name
}

func makeExt4(t *testing.T, size int64, files []File) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "side a.img")
	if err := Ext4(always, name, ext4Options(size), files); err != nil {
		t.Fatal(err)
	}
	return name
}
