//go:build qemu

package qemutests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/qemu-tests/blocklog"
	"psyopsOS/release"
)

// A crashJudge says what a machine would do with a disk: which loader the
// firmware finds, which side that starts and whether it is whole, and whether
// `neuralupgrade show` tells the truth of it.
type crashJudge struct {
	*crashDisk
	keys   release.Keys
	pubkey string
	// What may be on the EFI system partitions, by its SHA-256: loaders and
	// extra programs of the releases that the recording knows.
	good map[[sha256.Size]byte]bool

	sides known[sideVerdict]
	esps  known[espVerdict]
	shown known[string]
	old   known[string]
	store known[string] // files of contents

	fscks known[string]
	bases map[layout.Label]string // volumes of the image as files, for fsck
}

func newJudge(t *testing.T, image string, files ...[]byte) *crashJudge {
	t.Helper()
	j := &crashJudge{crashDisk: newCrashDisk(t, image), pubkey: filepath.Join(out, "keys", "development.pub"), good: map[[sha256.Size]byte]bool{}}
	key, err := release.ParsePublicKey(read(t, j.pubkey))
	if err != nil {
		t.Fatal(err)
	}
	if j.keys, err = release.NewKeys(1, key); err != nil {
		t.Fatal(err)
	}
	own, err := bootstate.ReadWhole(openVolume(t, image, layout.EFISystem), layout.Loader, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, own) {
		j.good[contentSum(file)] = true
	}
	return j
}

// contentSum is a file's without the room behind it: a loader's twin has some.
func contentSum(file []byte) [sha256.Size]byte { return sha256.Sum256(bytes.TrimRight(file, "\x00")) }

// A sideVerdict is what GRUB finds on a side.
type sideVerdict struct {
	names   []string
	files   map[string][]byte // the small ones
	stored  map[string]string // where the large ones are
	loads   bool              // the script's checks
	whole   bool              // all that the manifest names, verified
	version string            // of its signature
	kernel  bool              // one that Linux's boot protocol knows: of the tiny release it is none
	seen    [sha256.Size]byte // the same of sides that look the same to whoever mounts them
}

// side is what the loader's script finds on a side, by GRUB's code.
func (j *crashJudge) side(label layout.Label, o blocklog.Overlay) sideVerdict {
	part := j.in(label, o)
	return j.sides.get([2]any{label, part.Key()}, func() (v sideVerdict) {
		j.with(part, func(g grub) { v = j.look(g, label) })
		fs, err := mounts.Probe(j.volume(label, o))
		if err != nil || fs.Label != string(label) {
			v.loads = false
		}
		v.seen = sha256.Sum256(fmt.Append(nil, fs, err, v.names, v.files, v.stored))
		return v
	})
}

func (j *crashJudge) look(g grub, label layout.Label) sideVerdict {
	v := sideVerdict{files: map[string][]byte{}, stored: map[string]string{}}
	list, _ := g.runs("ls", label, "")
	v.names = strings.Fields(string(list))
	if !slices.Contains(v.names, layout.OSTarSignature) {
		return v
	}
	for _, name := range []string{layout.OSTarSignature, layout.BootSum, layout.Manifest, layout.ManifestSignature} {
		if slices.Contains(v.names, name) {
			v.files[name] = g.cat(label, name)
		}
	}
	if info, err := j.keys.Info(v.files[layout.OSTarSignature]); err == nil {
		v.version = info.Version
	}
	sum, err := bootstate.ParseBootSum(v.files[layout.BootSum])
	if err != nil {
		return v
	}
	kernel, initramfs := g.cat(label, layout.Kernel), g.cat(label, layout.Initramfs)
	v.stored[layout.Kernel], v.stored[layout.Initramfs] = j.stored(kernel), j.stored(initramfs)
	v.kernel = len(kernel) > 0x206 && string(kernel[0x202:0x206]) == "HdrS"
	v.loads = sha256.Sum256(kernel) == sum.Kernel && sha256.Sum256(initramfs) == sum.Initramfs
	m, err := j.keys.VerifyManifest(v.files[layout.Manifest], v.files[layout.ManifestSignature])
	v.whole = v.loads && err == nil && m.Release == v.version && !slices.ContainsFunc(m.Files, func(f release.File) bool {
		return fmt.Sprintf("%x", sha256.Sum256(g.cat(label, f.Path))) != f.SHA256
	})
	return v
}

// An outcome is what a machine does with a state.
type outcome struct {
	choice bootstate.Choice
	sides  map[layout.Label]sideVerdict
	copies bootstate.Copies
	esp    espVerdict
}

// boots is the side that is started.
func (o outcome) boots() sideVerdict { return o.sides[o.choice.Boot.Side] }

func (j *crashJudge) outcome(o blocklog.Overlay) outcome {
	esp := j.esp(o)
	c := outcome{sides: map[layout.Label]sideVerdict{}, esp: esp, copies: esp.copies}
	for _, label := range []layout.Label{layout.SideA, layout.SideB} {
		c.sides[label] = j.side(label, o)
	}
	c.choice = bootstate.Next(c.copies.State1, c.copies.State2, c.copies.Tries, c.loads)
	return c
}

func (o outcome) loads(label layout.Label) bool { return o.sides[label].loads }

// judges says what is wrong with a state: empty where the machine boots a
// whole release, also through the second EFI system partition alone, and
// `neuralupgrade show` tells what GRUB will do.
func (j *crashJudge) judges(o blocklog.Overlay) string {
	c := j.outcome(o)
	if c.esp.wrong != "" {
		return c.esp.wrong
	}
	switch at := c.choice.Boot; {
	case at.Side == "":
		return "no side can be loaded"
	case !c.boots().whole:
		return fmt.Sprintf("%s is booted as %s, and is not whole", at.Side, at.Why)
	case at.Why == bootstate.LastResort && c.choice.Copy == 0:
		return "no copy of the state counts"
	}
	if _, err := bootstate.ParseState(c.copies.State2); err == nil {
		if at := bootstate.Next(nil, c.copies.State2, nil, c.loads).Boot; at.Side == "" || !c.sides[at.Side].whole {
			return "with the first EFI system partition dead no whole side is booted"
		}
	}
	return j.showIsTrue(o, c)
}
