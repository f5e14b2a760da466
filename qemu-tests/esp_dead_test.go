//go:build qemu

package qemutests

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// Issue 4: the first EFI system partition is dead in each state of the
// protocol: committed, on trial, fallen back. With it go one copy of the state,
// the counts and the settings; firmware takes the loader of the second one,
// which boots the good side. Once more on trial, only the state files are gone.
// neuralupgrade and the loader themselves have brought the disk to each state;
// only the damage is done by hand, and a power cut is a reset.
func TestTheFirstESPMayDieInEachStateOfTheProtocol(t *testing.T) {
	path, _ := ownDisk(t)
	version := committed(t, path)
	changeMenu(t, path, "")
	esp := openVolume(t, path, layout.EFISystem)
	revive := dies(t, esp)
	// Without its settings no events are told: the console is what there is.
	n := &node{t: t, disk: path, Guest: boot(t, Scenario{Firmware: true, Resets: true, OpenEnd: true, Disks: onDisk(path),
		Deadline: 12 * time.Minute})}

	// Committed, as the build has left it. Nothing can be written, and says so.
	n.boots(layout.SideA, bootstate.Good)
	n.Login()
	n.judged()
	gone := "no volume labelled " + string(layout.EFISystem)
	if status := n.Runs("neuralupgrade status"); !strings.Contains(status, "psyopsOS-A") || !strings.Contains(status, gone) {
		t.Errorf("status does not tell %q:\n%s", gone, status)
	}
	n.refuses("neuralupgrade rollback", "the first EFI system partition is dead", gone)
	n.Runs(fmt.Sprintf("grep '%s' /var/log/psyopsos-health.log", gone))

	// On trial: the good side again, and the trial is still to come.
	revive()
	n.Runs("neuralupgrade rollback")
	before := loaderFiles(t, path)
	if state, _ := bootstate.Pick(before.State1, before.State2); state.Try != layout.SideB {
		t.Fatalf("the disk says %+v, want side B on trial", state)
	}
	revive = dies(t, esp)
	n.cutsPower()
	n.boots(layout.SideA, bootstate.Good)
	n.handsOver()
	revive()
	if after := loaderFiles(t, path); !reflect.DeepEqual(before, after) {
		t.Errorf("the boot loader's files have changed from\n%+v to\n%+v", before, after)
	}
	n.cutsPower()
	n.boots(layout.SideB, bootstate.Trial(2))
	n.Login()
	n.committed(layout.SideB, version, layout.SideA)

	// On trial, with the partition alive and its state files gone: nobody knows
	// how often it was tried. It has failed, and they are written anew.
	n.Runs("neuralupgrade rollback")
	rot(t, esp, layout.State1, layout.Tries, layout.Fail)
	n.cutsPower()
	n.boots(layout.SideB, bootstate.Good)
	n.Login()
	n.committed(layout.SideB, version, layout.SideA)
	n.disksAgree(bootstate.State{Good: layout.SideB, Alt: layout.SideA, A: version, B: version, Floor: version, Bad: version})

	// Fallen back, after three boots that nobody found healthy.
	for range bootstate.MaxTries {
		n.cutsPower()
		n.boots(layout.SideB, bootstate.Good)
		n.Says("starting psyopsOS-B")
	}
	n.cutsPower()
	n.boots(layout.SideA, bootstate.Fallback)
	dies(t, esp)
	n.cutsPower()
	n.boots(layout.SideB, bootstate.Good)
	n.handsOver()
}

// dies destroys a partition's boot sector and tables; the returned function
// takes that back.
func dies(t testing.TB, v volume) (revive func()) {
	t.Helper()
	was := make([]byte, 1<<20)
	if _, err := v.ReadAt(was, 0); err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) {
		t.Helper()
		if _, err := v.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
	}
	write(make([]byte, len(was)))
	return func() { t.Helper(); write(was) }
}

// rot makes garbage of the 4 KiB in which each of the files lies.
func rot(t testing.TB, v volume, files ...string) {
	t.Helper()
	for _, name := range files {
		at, err := bootstate.Locate(v, name)
		if err != nil {
			t.Fatal(err)
		}
		garbage := make([]byte, 4096)
		_, _ = rand.Read(garbage) // it never fails
		if _, err := v.WriteAt(garbage, at.Offset); err != nil {
			t.Fatal(err)
		}
	}
}

// cutsPower takes the power away and gives it back.
func (n *node) cutsPower() {
	n.t.Helper()
	n.VM.Events.Forget()
	if _, err := n.VM.QMP(n.ctx, "system_reset", nil); err != nil {
		n.t.Fatal(err)
	}
}

// handsOver waits for the hand-over, as the console tells it.
func (n *node) handsOver() {
	n.t.Helper()
	n.Says("hand over: to /sbin/init")
}
