package upgrade

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// destroys makes garbage of the sector of the first EFI system partition that
// has a directory's entry.
func (w *world) destroys(entry string) {
	w.t.Helper()
	content, err := os.ReadFile(w.images["/dev/vda1"])
	if err != nil {
		w.t.Fatal(err)
	}
	at := bytes.Index(content, []byte(entry))
	if at < 0 {
		w.t.Fatalf("no entry %q", entry)
	}
	f, err := os.OpenFile(w.images["/dev/vda1"], os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa7}, 512), int64(at/512*512)); err != nil {
		w.t.Fatal(err)
	}
}

const (
	stateEntry  = "STATE1  ENV"
	loaderEntry = "BOOTX64 EFI"
)

// A destroyed sector of /grub takes the first copy and the counts along. The
// machine goes on by the second copy, says what is wrong, and `apply efisys`
// makes the folders anew.
func TestAFolderWithTheStateThatIsDestroyedIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.changeState(func(s *bootstate.State, _ *bootstate.Tries) { s.Seq = 7 })
	w.destroys(stateEntry)
	out, _ := w.must(0, "status")
	has(t, out, "default:   psyopsOS-A", "damaged:   find grub/STATE1.ENV", "apply efisys")
	out, _ = w.must(0, "show")
	has(t, out, "damaged: find grub/STATE1.ENV", "nextboot_label: psyopsOS-A")
	out, _ = w.must(0, "commit")
	has(t, out, "nothing to commit")

	w.publish(makeBundle(t, v2))
	_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "PSYOPSOSEFI is damaged", "apply efisys")
	_, stderr = w.must(1, "set-default", "psyopsOS-B")
	has(t, stderr, "no trial can be counted", "apply efisys")
	if len(w.writes) > 0 {
		t.Errorf("writes %v", w.writes)
	}

	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
	out, _ = w.must(0, "apply", "efisys", "--dry-run", "--repository", w.repo)
	has(t, out, "make the folders of the loader and its state anew")
	_, stderr = w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "make the folders anew")
	if one, two := w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"); one != v2 || two != v1 {
		t.Errorf("the loaders are %s and %s", one, two)
	}
	if l := w.loader(); !l.Same || l.State.Seq != 7 || l.State.Good != layout.SideA {
		t.Errorf("the state is %+v, both copies the same: %t", l.State, l.Same)
	}
	if string(w.esp("/dev/vda1", "memtest64.efi")) != "memtest" {
		t.Error("the program is not there")
	}
	w.fsckLost("/dev/vda1")

	// From here on it is a disk as any other.
	w.bootsBy(v2, layout.SideA, v1, bootstate.Good)
	w.must(0, "commit")
	out, _ = w.must(0, "status")
	if strings.Contains(out, "damaged") {
		t.Errorf("status still says:\n%s", out)
	}
	w.applies()
}

// The same of the loader's folder: its state can still be written, and trials
// be counted.
func TestAFolderWithTheLoaderThatIsDestroyedIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.destroys(loaderEntry)
	out, _ := w.must(0, "status")
	has(t, out, "damaged:   find EFI/BOOT/BOOTX64.EFI")
	w.must(0, "set-default", "psyopsOS-B")
	w.must(0, "rollback")
	w.publishESP(espBundle(t, v2, nil))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	if one, two := w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"); one != v2 || two != v1 {
		t.Errorf("the loaders are %s and %s", one, two)
	}
	if l := w.loader(); !l.Same || l.State.Good != layout.SideA {
		t.Errorf("the state is %+v, both copies the same: %t", l.State, l.Same)
	}
	w.fsckLost("/dev/vda1")
}

// A trial that failed while the folder was destroyed is cleared on the copy
// that is left; otherwise nothing could ever be applied again.
func TestATrialIsClearedByTheCopyThatIsLeft(t *testing.T) {
	w := newWorld(t)
	w.changeState(func(s *bootstate.State, tries *bootstate.Tries) {
		s.Try = layout.SideB
		*tries = bootstate.Tries{Left: 3, For: s.Seq}
	})
	w.destroys(stateEntry)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	out, _ := w.must(0, "commit")
	has(t, out, "the trial of psyopsOS-B", "has failed")
	if l := w.loader(); l.Picked != 2 || l.State.Try != "" {
		t.Errorf("the state is %+v of copy %d", l.State, l.Picked)
	}
}

// Every cut while the folders are made anew leaves the loader of the second
// partition, or the new one with the state.
func TestACutWhileTheFoldersAreMadeAnewLeavesALoader(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.destroys(stateEntry)
	w.destroys(loaderEntry)
	w.publishESP(espBundle(t, v2, nil))
	before, writes := w.record("apply", "efisys", "--repository", w.repo)
	old, fresh := 0, 0
	cuts(before, writes, true, func(s cutState, _ taped) {
		if boot := s.choice(); boot.Copy == 0 || boot.Boot.Side != layout.SideA {
			t.Errorf("%s: GRUB starts %+v", s.name, boot)
		}
		switch one, two := s.loader("/dev/vda1"), s.loader("/dev/vda5"); {
		case one == v2:
			fresh++
		case one == "" && two == v1:
			old++
		default:
			t.Errorf("%s: the loaders are %q and %q", s.name, one, two)
		}
	})
	t.Logf("%d states start the second partition's loader, %d the new one", old, fresh)
	if old == 0 || fresh == 0 {
		t.Error("no cut before, or none after")
	}
}
