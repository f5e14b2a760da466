//go:build qemu

package qemutests

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/vm"
)

// Issue 3, test 4. The whole table, every file at three places and every way
// to refuse, is in boot/verify_test.go on the fake machine; here real disks,
// the real kernel and the real key say the same.
func TestASideThatWasNotSignedSoIsRefusedByARealMachine(t *testing.T) {
	for _, c := range []struct {
		name, words string // of the command line
		change      func(t *testing.T, s *side)
		step, want  string
	}{
		{"the last byte of the squashfs flipped", "", func(t *testing.T, s *side) { s.flip(layout.Squashfs, 1) },
			"copy squashfs", "squashfs on psyopsOS-A (vda) is not the file that was signed: the SHA-256 of its "},
		{"a byte in the middle flipped, without a copy", "psyopsos.toram=no", func(t *testing.T, s *side) { s.flip(layout.Squashfs, 0.5) },
			"copy squashfs", "squashfs on psyopsOS-A (vda) is not the file that was signed: the SHA-256 of its 1048576 bytes from byte "},
		{"the first byte of the modloop flipped", "", func(t *testing.T, s *side) { s.flip(layout.Modloop, 0) },
			"copy modloop", "modloop on psyopsOS-A (vda) is not the file that was signed: the SHA-256 of its 1048576 bytes from byte 0 is "},
		{"a byte of the manifest flipped", "", func(t *testing.T, s *side) { s.flip(layout.Manifest, 0.5) },
			"verify the manifest", "manifest.json: contents are not what key"},
		{"a byte of the signature flipped", "", func(t *testing.T, s *side) { s.flip(layout.ManifestSignature, 0.5) },
			"verify the manifest", "manifest.json: "},
		{"no signature", "", func(t *testing.T, s *side) { delete(s.files, layout.ManifestSignature) },
			"verify the manifest", "manifest.json.minisig: unsigned"},
		{"a truncated squashfs", "", func(t *testing.T, s *side) {
			s.files[layout.Squashfs] = s.files[layout.Squashfs][:len(s.files[layout.Squashfs])-1]
		}, "copy squashfs", "squashfs is too short"},
		{"another release's manifest", "", func(t *testing.T, s *side) {
			s.sign(buildKey(t), func(m *release.Manifest) {
				m.Release = "20260101-000000"
				for i := range m.Files {
					// The two are hashed side by side: only one can be the first.
					if f := &m.Files[i]; f.Path != layout.Squashfs {
						f.SHA256 = strings.Repeat("0f", 32)
						f.Pieces = slices.Repeat([]string{f.SHA256}, len(f.Pieces))
					}
				}
			})
		}, "copy modloop", "the manifest says 0f0f"},
		{"a key that is not trusted", "", func(t *testing.T, s *side) {
			_, key, err := release.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			s.sign(key, func(*release.Manifest) {})
		}, "verify the manifest", "which is not trusted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sideFiles(t)
			c.change(t, s)
			g := boot(t, Scenario{Words: "psyopsos.onfail=poweroff psyopsos.shell=never panic=1 " + c.words, Disks: []vm.Disk{s.disk()}})
			if e := g.Fails(c.step, c.want); e.Hint == "" {
				t.Error("no hint")
			}
			g.Ends("guest-shutdown")
		})
	}
}

// What init cannot check of itself, GRUB checks: BOOT.SUM.
func TestAFlippedByteInTheKernelMeansTheOtherSide(t *testing.T) {
	path, _ := ownDisk(t)
	flipOnDisk(t, path, layout.SideA, layout.Kernel)
	g := boot(t, Scenario{Firmware: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}}})
	g.Says(`psyopsOS-A: kernel or initramfs is not what was written`)
	g.Says(`trying psyopsOS-B \(lastresort\)`)
	g.HandsOver()
	if device := g.Fact("device"); device != "vda4" {
		t.Errorf("booted from %v, want vda4", device)
	}
}

func TestAFlippedByteInEachInitramfsStartsNothing(t *testing.T) {
	path, _ := ownDisk(t)
	flipOnDisk(t, path, layout.SideA, layout.Initramfs)
	flipOnDisk(t, path, layout.SideB, layout.Initramfs)
	g := boot(t, Scenario{Firmware: true, OpenEnd: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}}})
	g.Says(`psyopsOS-A: kernel or initramfs is not what was written`)
	g.Says(`psyopsOS-B: kernel or initramfs is not what was written`)
	g.Says(`no side can be started: restart in 30 s`)
	if told := len(g.VM.Events.All()); told > 0 {
		t.Errorf("init was started all the same and told %d events", told)
	}
}

// flipOnDisk flips a bit near the middle of a file of a side, where it lies.
func flipOnDisk(t testing.TB, path string, label layout.Label, name string) {
	t.Helper()
	content := map[string][]byte{layout.Kernel: read(t, images(t).Kernel), layout.Initramfs: read(t, images(t).Initramfs),
		layout.Squashfs: read(t, images(t).Squashfs)}[name]
	v := openVolume(t, path, label)
	whole := make([]byte, v.Size())
	if _, err := v.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	// Within one block of the file system: the next one may lie elsewhere. And
	// what does not shrink, such as tables of elliptic curves, lies in each file
	// that has our program in it.
	const block = 1024
	for at := len(content) / 2 &^ (block - 1); at+block <= len(content); at += block {
		part := content[at:][:block]
		if on := bytes.Index(whole, part); on >= 0 && !bytes.Contains(whole[on+1:], part) {
			if _, err := v.WriteAt([]byte{part[0] ^ 1}, int64(on)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no part of %s is on %s once", name, label)
}
