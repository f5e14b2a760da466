//go:build qemu

package qemutests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
	"psyopsOS/qemu-tests/blocklog"
	"psyopsOS/release"
	"psyopsOS/upgrade"
)

// A crashJudge says what a machine would do with a disk. Files are read by GRUB's
// own file system code (grub-fstest), from a scratch copy of the image into
// which a state's few sectors are written and taken out again. What a volume
// comes to is remembered by its sectors, since most states differ in one
// volume only, or not at all.
type crashJudge struct {
	t       *testing.T
	image   *os.File // as it was before the first write
	scratch *os.File
	keys    release.Keys
	pubkey  string
	parts   map[layout.Label]mounts.Partition

	sides  map[layout.Label]map[[sha256.Size]byte]sideVerdict
	esps   map[[sha256.Size]byte]bootstate.Copies
	shown  map[string]string
	byGRUB int // volumes' states that grub-fstest has read
	known  int // volumes' states that were known already
}

// A sideVerdict is what GRUB finds on a side.
type sideVerdict struct {
	names   []string
	files   map[string][]byte // the small ones
	loads   bool              // the script's checks
	whole   bool              // all that the manifest names, verified
	version string            // of its signature
}

func newJudge(t *testing.T, image string) *crashJudge {
	t.Helper()
	scratch := filepath.Join(t.TempDir(), "scratch.img")
	run(t, "cp", "--sparse=always", image, scratch)
	j := &crashJudge{t: t, parts: map[layout.Label]mounts.Partition{}, sides: map[layout.Label]map[[sha256.Size]byte]sideVerdict{},
		esps: map[[sha256.Size]byte]bootstate.Copies{}, shown: map[string]string{}, pubkey: filepath.Join(out, "keys", "development.pub")}
	for _, v := range layout.Volumes() {
		j.parts[v.Label] = partition(t, image, v.Label)
		j.sides[v.Label] = map[[sha256.Size]byte]sideVerdict{}
	}
	key, err := release.ParsePublicKey(read(t, j.pubkey))
	if err != nil {
		t.Fatal(err)
	}
	if j.keys, err = release.NewKeys(1, key); err != nil {
		t.Fatal(err)
	}
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	j.image, j.scratch = open(image), open(scratch)
	return j
}

// in is the part of a state that lies on a volume.
func (j *crashJudge) in(label layout.Label, o blocklog.Overlay) blocklog.Overlay {
	p := j.parts[label]
	return o.In(p.Start/blocklog.SectorSize, (p.Start+p.Size)/blocklog.SectorSize)
}

// volume reads a volume of a state.
func (j *crashJudge) volume(label layout.Label, o blocklog.Overlay) *io.SectionReader {
	p := j.parts[label]
	return io.NewSectionReader(o.Over(j.image, p.Start), 0, p.Size)
}

// with puts sectors into the scratch image while it looks.
func (j *crashJudge) with(o blocklog.Overlay, look func()) {
	j.t.Helper()
	put := func(sector int64, data []byte) {
		if _, err := j.scratch.WriteAt(data, sector*blocklog.SectorSize); err != nil {
			j.t.Fatal(err)
		}
	}
	for sector, data := range o {
		put(sector, data)
	}
	look()
	old := make([]byte, blocklog.SectorSize)
	for sector := range o {
		if _, err := j.image.ReadAt(old, sector*blocklog.SectorSize); err != nil {
			j.t.Fatal(err)
		}
		put(sector, old)
	}
}

// grub runs grub-fstest on the scratch image.
func (j *crashJudge) grub(command string, label layout.Label, path string) ([]byte, error) {
	var stdout bytes.Buffer
	cmd := exec.Command("grub-fstest", j.scratch.Name(), command, fmt.Sprintf("(loop0,gpt%d)/%s", j.parts[label].Number, path))
	cmd.Stdout = &stdout
	err := cmd.Run()
	return stdout.Bytes(), err
}

// side is what the loader's script finds on a side, by GRUB's code.
func (j *crashJudge) side(label layout.Label, o blocklog.Overlay) (v sideVerdict) {
	part := j.in(label, o)
	key := part.Key()
	if v, ok := j.sides[label][key]; ok {
		j.known++
		return v
	}
	j.byGRUB++
	j.with(part, func() { v = j.look(label) })
	if fs, err := mounts.Probe(j.volume(label, o)); err != nil || fs.Label != string(label) {
		v.loads = false
	}
	j.sides[label][key] = v
	return v
}

func (j *crashJudge) look(label layout.Label) sideVerdict {
	v := sideVerdict{files: map[string][]byte{}}
	list, _ := j.grub("ls", label, "")
	v.names = strings.Fields(string(list))
	cat := func(name string) []byte {
		text, err := j.grub("cat", label, name)
		if err != nil {
			return nil
		}
		return text
	}
	if !slices.Contains(v.names, layout.OSTarSignature) {
		return v
	}
	for _, name := range []string{layout.OSTarSignature, layout.BootSum, layout.Manifest, layout.ManifestSignature} {
		if slices.Contains(v.names, name) {
			v.files[name] = cat(name)
		}
	}
	if info, err := j.keys.Info(v.files[layout.OSTarSignature]); err == nil {
		v.version = info.Version
	}
	sum, err := bootstate.ParseBootSum(v.files[layout.BootSum])
	if err != nil {
		return v
	}
	v.loads = sha256.Sum256(cat(layout.Kernel)) == sum.Kernel && sha256.Sum256(cat(layout.Initramfs)) == sum.Initramfs
	m, err := j.keys.VerifyManifest(v.files[layout.Manifest], v.files[layout.ManifestSignature])
	v.whole = v.loads && err == nil && m.Release == v.version && !slices.ContainsFunc(m.Files, func(f release.File) bool {
		return fmt.Sprintf("%x", sha256.Sum256(cat(f.Path))) != f.SHA256
	})
	return v
}

// copies are the state files, by our reader, which must agree with GRUB's.
func (j *crashJudge) copies(o blocklog.Overlay) bootstate.Copies {
	j.t.Helper()
	first, second := j.in(layout.EFISystem, o), j.in(layout.EFISystem2, o)
	both := blocklog.Overlay{}
	for _, part := range []blocklog.Overlay{first, second} {
		for sector, data := range part {
			both[sector] = data
		}
	}
	key := both.Key()
	if c, ok := j.esps[key]; ok {
		j.known++
		return c
	}
	j.byGRUB++
	c := bootstate.ReadCopies(j.volume(layout.EFISystem, o), j.volume(layout.EFISystem2, o))
	j.with(both, func() {
		for _, f := range []struct {
			label layout.Label
			path  string
			ours  []byte
		}{{layout.EFISystem, layout.State1, c.State1}, {layout.EFISystem2, layout.State2, c.State2}, {layout.EFISystem, layout.Tries, c.Tries}} {
			if theirs, err := j.grub("cat", f.label, f.path); err != nil && f.ours != nil || err == nil && !bytes.Equal(theirs, f.ours) {
				j.t.Errorf("%s on %s: GRUB reads %q (%v), we %q", f.path, f.label, theirs, err, f.ours)
			}
		}
	})
	j.esps[key] = c
	return c
}

// judges says what is wrong with a state: empty where the machine boots a
// whole release, also through the second EFI system partition alone, and
// `neuralupgrade show` tells what GRUB will do.
func (j *crashJudge) judges(o blocklog.Overlay) string {
	c := j.copies(o)
	sides := map[layout.Label]sideVerdict{}
	for _, label := range []layout.Label{layout.SideA, layout.SideB} {
		sides[label] = j.side(label, o)
	}
	loads := func(label layout.Label) bool { return sides[label].loads }
	choice := bootstate.Next(c.State1, c.State2, c.Tries, loads)
	switch at := choice.Boot; {
	case at.Side == "":
		return "no side can be loaded"
	case !sides[at.Side].whole:
		return fmt.Sprintf("%s is booted as %s, and is not whole", at.Side, at.Why)
	case at.Why == bootstate.LastResort && choice.Copy == 0:
		return "no copy of the state counts"
	}
	if _, err := bootstate.ParseState(c.State2); err == nil {
		if at := bootstate.Next(nil, c.State2, nil, loads).Boot; at.Side == "" || !sides[at.Side].whole {
			return "with the first EFI system partition dead no whole side is booted"
		}
	}
	return j.showIsTrue(o, c, sides, choice)
}

// showIsTrue compares what `neuralupgrade show --json` says of a state with
// what GRUB found.
func (j *crashJudge) showIsTrue(o blocklog.Overlay, c bootstate.Copies, sides map[layout.Label]sideVerdict, choice bootstate.Choice) string {
	key := fmt.Sprintf("%x%x%x", sha256.Sum256(slices.Concat(c.State1, []byte("|"), c.State2, []byte("|"), c.Tries)), j.in(layout.SideA, o).Key(), j.in(layout.SideB, o).Key())
	if said, ok := j.shown[key]; ok {
		return said
	}
	j.shown[key] = j.show(o, sides, choice)
	return j.shown[key]
}

func (j *crashJudge) show(o blocklog.Overlay, sides map[layout.Label]sideVerdict, choice bootstate.Choice) string {
	root, err := os.MkdirTemp(j.t.TempDir(), "")
	if err != nil {
		j.t.Fatal(err)
	}
	defer os.RemoveAll(root)
	storage := mountstest.New()
	for _, v := range layout.Volumes() {
		if err := os.MkdirAll(filepath.Join(root, v.MountPoint), 0o755); err != nil {
			j.t.Fatal(err)
		}
		p := j.parts[v.Label]
		storage.PlugReader(mounts.Device{Name: fmt.Sprint("vda", p.Number), Disk: "vda", Partition: p.Number, PartUUID: p.UUID, DiskUUID: "disk", Size: p.Size}, j.volume(v.Label, o))
		for _, name := range sides[v.Label].names {
			if !strings.HasSuffix(name, "/") {
				if err := os.WriteFile(filepath.Join(root, v.MountPoint, name), sides[v.Label].files[name], 0o644); err != nil {
					j.t.Fatal(err)
				}
			}
		}
	}
	var stdout, stderr bytes.Buffer
	e := upgrade.Env{Stdout: &stdout, Stderr: &stderr, Root: root, Commit: "test", Storage: storage, Getenv: func(string) string { return "" }, Now: time.Now}
	if status := upgrade.Main(context.Background(), e, []string{"--pubkey", j.pubkey, "--booted-mock", "a", "--json", "show"}); status != 0 {
		return fmt.Sprintf("show ends with %d: %s", status, stderr.String())
	}
	type side struct {
		Incomplete string
		Metadata   struct{ Version string }
	}
	var said struct {
		System struct {
			A, B          side
			NextBootLabel layout.Label `json:"nextboot_label"`
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &said); err != nil {
		return fmt.Sprintf("show: %v: %s", err, stdout.String())
	}
	for label, says := range map[layout.Label]side{layout.SideA: said.System.A, layout.SideB: said.System.B} {
		if v := sides[label]; (says.Incomplete == "") != v.loads || v.loads && says.Metadata.Version != v.version {
			return fmt.Sprintf("show says of %s: version %q, incomplete %q; GRUB loads it: %t, version %q", label, says.Metadata.Version, says.Incomplete, v.loads, v.version)
		}
	}
	if why := choice.Boot.Why; (why == bootstate.Good || why.IsTrial()) && said.System.NextBootLabel != choice.Boot.Side && choice.Went[0] == choice.Boot {
		return fmt.Sprintf("show says that %s is next, GRUB takes %s", said.System.NextBootLabel, choice.Boot.Side)
	}
	return ""
}

// judgesOldWay says what is wrong after a switch of the first psyopsOS: its
// menu is a file, which must be the old one or the new one.
func (j *crashJudge) judgesOldWay(o blocklog.Overlay) (wrong string) {
	part := j.in(layout.EFISystem, o)
	key := fmt.Sprintf("%x", part.Key())
	if said, ok := j.shown[key]; ok {
		j.known++
		return said
	}
	j.byGRUB++
	j.with(part, func() {
		text, err := j.grub("cat", layout.EFISystem, "grub/grub.cfg")
		if got := string(text); err != nil {
			wrong = "there is no grub.cfg that GRUB can read"
		} else if got != oldConfigText("A") && got != oldConfigText("B") {
			wrong = "grub.cfg is neither the old one nor the new one"
		}
	})
	j.shown[key] = wrong
	return wrong
}
