//go:build qemu

package qemutests

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/image"
	"psyopsOS/image/disk"
	"psyopsOS/image/loader"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// A tiny is a signed release of a few small files that would not boot: so
// small that every state of its writing can be judged.
type tiny struct {
	address string // of its repository
	version string
	files   map[string][]byte // as they lie on a side
}

func tinyRelease(t *testing.T) tiny {
	t.Helper()
	r := tiny{version: release.Version(time.Now()), files: map[string][]byte{}}
	m := release.Manifest{Release: r.version, Architecture: "x86_64", Kernel: images(t).KernelVersion, Userland: "testos 1"}
	for i, name := range []string{layout.Kernel, layout.KernelVersion, layout.Initramfs, layout.Modloop, layout.Squashfs} {
		r.files[name] = []byte(strings.Repeat(fmt.Sprintln(name, "of a tiny release"), 200*(i+1)))
		m.Files = append(m.Files, release.File{Path: name, Size: int64(len(r.files[name])), SHA256: fmt.Sprintf("%x", sha256.Sum256(r.files[name]))})
	}
	m, err := release.NewManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	key := buildKey(t)
	sign := func(content []byte, comment string) []byte {
		signature, err := release.Sign(key, bytes.NewReader(content), comment, "test")
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	r.files[layout.Manifest] = m.JSON()
	r.files[layout.ManifestSignature] = sign(m.JSON(), m.Comment())
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, name := range []string{layout.Manifest, layout.ManifestSignature, layout.Kernel, layout.KernelVersion, layout.Initramfs, layout.Modloop, layout.Squashfs} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(r.files[name])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(r.files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := release.Name{Kind: release.OS, Platform: "x86_64", Version: r.version}.String()
	info := release.Info{Kind: release.OS, Filename: name, Version: r.version, Kernel: m.Kernel, Userland: "testos-1", Architecture: "x86_64", Size: int64(text.Len())}
	r.files[layout.OSTarSignature] = sign(text.Bytes(), info.Comment())
	dir := t.TempDir()
	for file, content := range map[string][]byte{name: text.Bytes(), name + ".minisig": r.files[layout.OSTarSignature]} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(name+".minisig", filepath.Join(dir, release.LatestSignature(release.OS, "x86_64"))); err != nil {
		t.Fatal(err)
	}
	r.address = serve(t, dir)
	return r
}

// An espTiny is a signed release of a loader and a small program.
type espTiny struct {
	address string // of its repository
	version string
	files   [][]byte // what it puts on the partition
}

func tinyESP(t *testing.T) espTiny {
	t.Helper()
	dir := t.TempDir()
	r := espTiny{address: serve(t, dir), version: laterVersion(t)}
	when, err := release.VersionTime(r.version)
	if err != nil {
		t.Fatal(err)
	}
	grub, err := loader.Build(t.Context(), loader.Options{Version: r.version, Time: when})
	if err != nil {
		t.Fatal(err)
	}
	program := append([]byte("MZ"), strings.Repeat("a program of a few sectors\n", 300)...)
	source := filepath.Join(t.TempDir(), "program.efi")
	if err := os.WriteFile(source, program, 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := image.EFISysTar(t.Context(), image.EFISysTarOptions{Files: []disk.File{{Path: layout.Loader, Data: grub}},
		Programs: []image.EFIProgram{{Name: "program.efi", Title: "A program", Source: source}},
		Version:  r.version, Key: buildKey(t), Now: when, Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(made.Signature), filepath.Join(dir, release.LatestSignature(release.ESP, release.UEFI))); err != nil {
		t.Fatal(err)
	}
	r.files = [][]byte{grub, program}
	return r
}
