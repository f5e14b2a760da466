package upgrade

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

const oldCfg = `# neuralupgrade-info: last_updated=20240705-173840 default_boot_label=psyopsOS-A extra_programs=/oldtest.efi
menuentry "psyopsOS-A" {
  linux /kernel ro psyopsos=psyopsOS-A earlyprintk=ttyS0 console=tty0 console=ttyS0,115200 debug_init
}
`

var oldGRUB = []byte("MZ" + strings.Repeat("the first psyopsOS's GRUB", 4000))

// legacyWorld is a node whose disk the first psyopsOS has made: four
// partitions, GRUB with grub.cfg, no state, and on side A a release of ours as
// the old updater writes it.
func legacyWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	name := filepath.Join(t.TempDir(), "esp")
	files := []disk.File{{Path: layout.Loader, Data: oldGRUB}, {Path: layout.LegacyGrubCfg, Data: []byte(oldCfg)}, {Path: "grub/x86_64-efi/normal.mod", Data: []byte("module")},
		{Path: "oldtest.efi", Data: []byte("old test")}, {Path: layout.Manifest, Data: []byte(`{"version":1,"extra_programs":{"/oldtest.efi":"Old test"}}`)}}
	if err := disk.FAT(t.Context(), name, disk.FATOptions{Label: string(layout.EFISystem), SizeBytes: 40 << 20, VolumeID: 1}, files, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	w.fake.Unplug("vda1")
	w.fake.Unplug("vda5")
	delete(w.images, "/dev/vda5")
	w.plug("vda1", name, 1)
	if err := os.Remove(filepath.Join(w.root, layout.MountSideA, layout.BootSum)); err != nil {
		t.Fatal(err)
	}
	w.bootsBy("", layout.SideA, v1, bootstate.Manual)
	return w
}

func TestADiskOfTheFirstPsyopsOSIsMoved(t *testing.T) {
	w := legacyWorld(t)
	out, _ := w.must(0, "show")
	has(t, out, "loader: first psyopsOS", "default_boot_label: psyopsOS-A", "extra_programs: /oldtest.efi", "there is no BOOT.SUM")
	out, _ = w.must(0, "commit")
	has(t, out, "nothing to commit: the first psyopsOS's loader knows no trials")
	w.publish(makeBundle(t, v2))
	_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "this disk was made by the first psyopsOS")
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
	out, _ = w.must(0, "apply", "efisys", "--dry-run", "--repository", w.repo)
	has(t, out, "move the disk from the first psyopsOS's loader to ours, which starts psyopsOS-A", "this disk has no second loader")

	_, stderr = w.must(0, "apply", "nonbooted", "efisys", "--repository", w.repo)
	has(t, stderr, "make BOOT.SUM on psyopsOS-A", "move to the new loader", "this disk has no second loader", "nonbooted waits: the loader was changed")
	if one := w.loaderIs("/dev/vda1"); one != v2 {
		t.Errorf("the loader is %s", one)
	}
	w.fsck("/dev/vda1")
	if err := bootstate.CheckSide(os.DirFS(filepath.Join(w.root, layout.MountSideA))); err != nil {
		t.Errorf("the new loader would not start side A: %v", err)
	}
	f, err := os.Open(w.images["/dev/vda1"])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var l Loader
	l.read(f, nil)
	l.State.Time = time.Time{}
	if want := (bootstate.State{Seq: 1, Good: layout.SideA, A: v1, Floor: v1}); l.State != want || !l.Same || l.Copies.State2On != 1 {
		t.Errorf("the state is %+v, want %+v", l.State, want)
	}
	menu := bootstate.ParseMenu(l.Copies.Menu)
	if menu.Append != "earlyprintk=ttyS0 debug_init" || len(menu.Programs) != 1 || menu.Programs[0].Path != "/memtest64.efi" {
		t.Errorf("the menu is %+v", menu)
	}
	if w.esp("/dev/vda1", "oldtest.efi") != nil || string(w.esp("/dev/vda1", "memtest64.efi")) != "memtest" {
		t.Error("the programs are not those of the release")
	}

	// From here on it is a disk as any other, but for the second loader.
	w.bootsBy(v2, layout.SideA, v1, bootstate.Good)
	w.must(0, "commit")
	w.applies()
	w.bootsBy(v2, layout.SideB, v2, bootstate.Trial(2))
	w.must(0, "commit")
	w.publishESP(espBundle(t, v3, nil))
	_, stderr = w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "this disk has no second loader")
	if one := w.loaderIs("/dev/vda1"); one != v3 {
		t.Errorf("the loader is %s", one)
	}
	w.fsck("/dev/vda1")
}

// Every cut of the move: the old loader with its grub.cfg and modules, or the
// new one with a state that starts side A.
func TestACutWhileADiskIsMovedLeavesTheOldLoaderOrTheNewOne(t *testing.T) {
	w := legacyWorld(t)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": strings.Repeat("m", 9000)}))
	before, writes := w.record("apply", "efisys", "--repository", w.repo)
	starts := func(s cutState) string {
		loader := bytes.TrimRight(s.read("/dev/vda1", layout.Loader), "\x00")
		if bytes.Equal(loader, oldGRUB) && string(s.read("/dev/vda1", layout.LegacyGrubCfg)) == oldCfg && string(s.read("/dev/vda1", "grub/x86_64-efi/normal.mod")) == "module" {
			return "old"
		}
		if boot := s.choice(); s.loader("/dev/vda1") == v2 && boot.Copy != 0 && boot.Boot.Side == layout.SideA && boot.Boot.Why == bootstate.Good {
			return "new"
		}
		return ""
	}
	moved := false
	old, fresh := 0, 0
	cuts(before, writes, false, func(s cutState, _ taped) {
		switch starts(s) {
		case "old":
			if old++; moved {
				t.Errorf("%s: the old loader is back", s.name)
			}
		case "new":
			fresh, moved = fresh+1, true
		default:
			t.Errorf("%s: nothing starts", s.name)
		}
	})
	// A destroyed sector costs nothing, but for the one of the root directory
	// that is decisive: there is no second loader.
	lost := map[int64]int{}
	spoilt := cuts(before, writes, true, func(s cutState, w taped) {
		if starts(s) == "" {
			lost[w.offset]++
		}
	})
	t.Logf("%d states start the old loader, %d the new one; of %d with destroyed sectors those of %d sectors start nothing: %v", old, fresh, spoilt, len(lost), lost)
	if old == 0 || fresh == 0 || len(lost) != 1 {
		t.Errorf("%d old, %d new, %d sectors that must not be destroyed: want the root directory's only", old, fresh, len(lost))
	}
}

func TestAFaultAtEveryWriteOfTheMoveIsFinishedByTheNextApply(t *testing.T) {
	w := legacyWorld(t)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
	_, writes := w.record("apply", "efisys", "--repository", w.repo)
	for fault := range writes {
		w := legacyWorld(t)
		w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
		n := 0
		w.break_ = func(string) error {
			if n++; n == fault+1 {
				return errors.New("input/output error")
			}
			return nil
		}
		w.must(1, "apply", "efisys", "--repository", w.repo)
		w.break_ = nil
		w.must(0, "apply", "efisys", "--repository", w.repo)
		if one := w.loaderIs("/dev/vda1"); one != v2 || w.esp("/dev/vda1", layout.ESPTarSignature) == nil {
			t.Errorf("fault %d: after a second apply the loader is %s", fault, one)
		}
		w.fsckLost("/dev/vda1")
	}
}

// A side whose kernel is not the manifest's gets no BOOT.SUM, and the old
// loader stays.
func TestADamagedSideIsNotMoved(t *testing.T) {
	w := legacyWorld(t)
	w.write(layout.MountSideA+"/"+layout.Kernel, []byte("another kernel"))
	w.publishESP(espBundle(t, v2, nil))
	_, stderr := w.must(1, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "kernel is not what manifest.json says")
	if !bytes.Equal(w.esp("/dev/vda1", layout.Loader), oldGRUB) {
		t.Error("the loader was replaced")
	}
}
