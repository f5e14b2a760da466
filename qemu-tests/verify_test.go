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

// A refusal is a side that a real machine must not use, and what it says.
type refusal struct {
	name, words string // of the command line
	change      func(t *testing.T, s *side)
	step, want  string
}

// Issue 3, test 4. More ways to be wrong are in boot/verify_test.go on the fake
// machine; here real disks, the real kernel and the real key say the same.
func TestASideThatWasNotSignedSoIsRefusedByARealMachine(t *testing.T) {
	refusals := []refusal{
		{"a byte in the middle flipped, without a copy", "psyopsos.toram=no", func(t *testing.T, s *side) { s.flip(layout.Squashfs, 0.5) },
			"copy squashfs", "squashfs on psyopsOS-A (vda) is not the file that was signed: the SHA-256 of its 1048576 bytes from byte "},
		{"no manifest", "", func(t *testing.T, s *side) { delete(s.files, layout.Manifest) },
			"verify the manifest", "manifest.json: no such file"},
		{"no squashfs", "", func(t *testing.T, s *side) { delete(s.files, layout.Squashfs) },
			"plan memory", "psyopsOS-A is not complete: "},
		{"a byte more behind the squashfs", "", func(t *testing.T, s *side) { s.files[layout.Squashfs] = append(s.files[layout.Squashfs], 0) },
			"copy squashfs", "squashfs is too long"},
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
	}
	for _, c := range append(refusals, flippedBytes()...) {
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

// flippedBytes are each file of a side that init reads, with a bit of its first,
// middle and last byte flipped.
func flippedBytes() (all []refusal) {
	const unlike = " on psyopsOS-A (vda) is not the file that was signed: the SHA-256 of its "
	for _, f := range []struct{ file, step, want, first string }{
		{layout.Squashfs, "copy squashfs", layout.Squashfs + unlike, "1048576 bytes from byte 0 is "},
		{layout.Modloop, "copy modloop", layout.Modloop + unlike, "1048576 bytes from byte 0 is "},
		{layout.Manifest, "verify the manifest", "manifest.json: contents are not what key", ""},
		{layout.ManifestSignature, "verify the manifest", "manifest.json: ", ""},
	} {
		flip := func(place float64) func(*testing.T, *side) {
			return func(t *testing.T, s *side) { s.flip(f.file, place) }
		}
		all = append(all,
			refusal{"the first byte of " + f.file + " flipped", "", flip(0), f.step, f.want + f.first},
			refusal{"a byte in the middle of " + f.file + " flipped", "", flip(0.5), f.step, f.want},
			refusal{"the last byte of " + f.file + " flipped", "", flip(1), f.step, f.want})
	}
	return all
}

// What init cannot check of itself, GRUB checks: BOOT.SUM.
func TestAFlippedByteInTheKernelMeansTheOtherSide(t *testing.T) {
	path, _ := ownDisk(t)
	flipOnDisk(t, path, layout.SideA, layout.Kernel, 0.5)
	g := boot(t, Scenario{Firmware: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}}})
	g.Says(`psyopsOS-A: kernel or initramfs is not what was written`)
	g.Says(`trying psyopsOS-B \(lastresort\)`)
	g.HandsOver()
	if device := g.Fact("device"); device != "vda4" {
		t.Errorf("booted from %v, want vda4", device)
	}
}

func TestAFlippedByteInEachInitramfsStartsNothing(t *testing.T) {
	startsNothing(t, layout.Initramfs, 0.5, 0.5)
}

func TestAFlippedByteAtTheEndsOfAKernelOrInitramfsStartsNothing(t *testing.T) {
	for _, name := range []string{layout.Kernel, layout.Initramfs} {
		t.Run(name, func(t *testing.T) { startsNothing(t, name, 0, 1) })
	}
}

// startsNothing boots a disk with a flipped bit in a file of each side.
func startsNothing(t *testing.T, name string, onA, onB float64) {
	t.Helper()
	path, _ := ownDisk(t)
	flipOnDisk(t, path, layout.SideA, name, onA)
	flipOnDisk(t, path, layout.SideB, name, onB)
	g := boot(t, Scenario{Firmware: true, OpenEnd: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}}})
	g.Says(`psyopsOS-A: kernel or initramfs is not what was written`)
	g.Says(`psyopsOS-B: kernel or initramfs is not what was written`)
	g.Says(`no side can be started: restart in 30 s`)
	if told := len(g.VM.Events.All()); told > 0 {
		t.Errorf("init was started all the same and told %d events", told)
	}
}

// flipOnDisk flips a bit of a file of a side, where it lies: near place, of
// which 0 is the file's first byte and 1 its last.
func flipOnDisk(t testing.TB, path string, label layout.Label, name string, place float64) {
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
	last := len(content) - 1
	step, within := block, 0
	if place == 1 {
		step, within = -block, last%block
	}
	for at := int(place*float64(last)) &^ (block - 1); at >= 0 && at <= last; at += step {
		part := content[at:min(at+block, len(content))]
		if on := bytes.Index(whole, part); on >= 0 && !bytes.Contains(whole[on+1:], part) {
			if _, err := v.WriteAt([]byte{part[within] ^ 1}, int64(on+within)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no part of %s is on %s once", name, label)
}
