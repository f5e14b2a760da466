//go:build qemu

package qemutests

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"psyopsOS/image"
)

// withInitramfs are the tests' images with another initramfs: the built one,
// changed.
func withInitramfs(t testing.TB, change func([]cpio.Record) []cpio.Record) func() (Images, error) {
	t.Helper()
	i := images(t)
	changed := packed(t, change(initramfsRecords(t, i.Initramfs)))
	i.Initramfs = filepath.Join(t.TempDir(), "initramfs")
	if err := os.WriteFile(i.Initramfs, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() (Images, error) { return i, nil }
}

// initramfsRecords are what tk has packed.
func initramfsRecords(t testing.TB, name string) []cpio.Record {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(read(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var archive bytes.Buffer
	if _, err := archive.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// packed is the archive as tk packs it, but quickly.
func packed(t testing.TB, records []cpio.Record) []byte {
	t.Helper()
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	w := cpio.Newc.Writer(z)
	if err := cpio.WriteRecords(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// without leaves members out.
func without(names ...string) func([]cpio.Record) []cpio.Record {
	return func(records []cpio.Record) []cpio.Record {
		return slices.DeleteFunc(records, func(r cpio.Record) bool { return slices.Contains(names, r.Name) })
	}
}

// withProgram puts a program into the archive by this name; what had it moves
// to another one, where there is one.
func withProgram(t testing.TB, name, program, moved string) func([]cpio.Record) []cpio.Record {
	content := string(read(t, program))
	return func(records []cpio.Record) []cpio.Record {
		for i, r := range records {
			if r.Name == name && moved == "" {
				records = slices.Delete(records, i, i+1)
				break
			}
			if r.Name == name {
				records[i].Name = moved
				break
			}
		}
		r := cpio.StaticFile(name, content, 0o755)
		r.Ino = uint64(len(records) + 100)
		return append(records, r)
	}
}

// withFaults are images whose init obeys psyopsos.fault=.
func withFaults(t testing.TB) func() (Images, error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "init")
	if err := image.BuildInit(t.Context(), "..", "faults", program, "faults"); err != nil {
		t.Fatal(err)
	}
	return withInitramfs(t, withProgram(t, "init", program, ""))
}
