//go:build qemu

package qemutests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/vm"
)

// A trialDisk is a disk whose side B was put on trial, as the boot loader
// leaves it when it boots that side for the first time.
type trialDisk struct{ path, version, words string }

// onTrial makes one. A direct boot with its words is GRUB's boot of the trial,
// without the twenty seconds that firmware and GRUB take.
func onTrial(t *testing.T, confirm string) trialDisk {
	t.Helper()
	path, _ := ownDisk(t)
	return trialOn(t, path, confirm)
}

func trialOn(t *testing.T, path, confirm string) trialDisk {
	t.Helper()
	d := trialDisk{path: path, version: committed(t, path)}
	changeState(t, path, func(s *bootstate.State) { s.Seq, s.Try, s.Alt = 2, layout.SideB, "" })
	changeTries(t, path, bootstate.Tries{Left: 2, For: 2, Confirm: confirm})
	d.words = fmt.Sprintf("psyopsos.boot=trial2 psyopsos.disk=%s", partition(t, path, layout.SideB).UUID)
	return d
}

func (d trialDisk) state(t *testing.T) (bootstate.State, bootstate.Tries) {
	t.Helper()
	files := loaderFiles(t, d.path)
	if string(files.State1) != string(files.State2) {
		t.Error("the two copies of the state differ")
	}
	state, _ := bootstate.Pick(files.State1, files.State2)
	return state, bootstate.ParseTries(files.Tries)
}

// undecided checks that nobody has committed.
func (d trialDisk) undecided(t *testing.T) {
	t.Helper()
	if state, tries := d.state(t); state.Good != layout.SideA || state.Try != layout.SideB || tries.Left != 2 {
		t.Errorf("the disk says %+v, %+v", state, tries)
	}
}

// trialIs waits until the trial has come to a stage.
func (g *Guest) trialIs(stage string) {
	g.t.Helper()
	g.Runs(fmt.Sprintf(`for i in $(seq 90); do grep -q '"%s"' /run/psyopsOS/trial && break; sleep 1; done; grep '"%s"' /run/psyopsOS/trial`, stage, stage))
}

// Issue 4, trials: a clean boot whose services are dead. This new init starts
// none at all.
func TestATrialWhoseServicesAreDeadEndsAtTheDeadline(t *testing.T) {
	d := onTrial(t, "")
	g := boot(t, Scenario{Disks: onDisk(d.path), Side: layout.SideB, Words: d.words + " psyopsos.deadline=45 init=/bin/sleep init_args=9999"})
	g.HandsOver()
	e := g.Fails("deadline", "not committed 45s after the kernel's start: the health service never started")
	if e.Time < 45*time.Second || e.Time > 50*time.Second {
		t.Errorf("it restarts at %v", e.Time)
	}
	g.Ends("guest-reset")
	d.undecided(t)
	hasFailed(t, d.path, bootstate.Fail{Side: layout.SideB, Version: d.version, Stage: "deadline", Reason: "the health service never started", Seq: 2})
}

// Issue 4, trials: healthy, but only a commit from outside keeps it; the clock
// is at 1970; and the shutdown hangs after every process was ended.
func TestATrialThatNobodyConfirmsEndsEvenWhereItsShutdownHangs(t *testing.T) {
	d := onTrial(t, bootstate.ConfirmRemote)
	g := boot(t, Scenario{Disks: onDisk(d.path), Side: layout.SideB, Words: d.words + " psyopsos.deadline=180",
		Machine: vm.Machine{Extra: []string{"-rtc", "base=1970-01-01"}}, Deadline: 8 * time.Minute})
	g.Login()
	g.Prints("date +%Y", "1970")
	g.trialIs("unconfirmed")
	status := g.Runs("neuralupgrade status")
	for _, want := range []string{"psyopsOS-B, 2 tries left", "neuralupgrade commit"} {
		if !strings.Contains(status, want) {
			t.Errorf("status does not tell %q:\n%s", want, status)
		}
	}
	g.Runs(`printf '%s\n' '#!/sbin/openrc-run' 'depend() { after killprocs; }' 'start() { echo IT-HANGS >/dev/ttyS0; while :; do sleep 9; done; }' >/etc/init.d/hangs
chmod +x /etc/init.d/hangs; rc-update add hangs shutdown`)
	g.Types("reboot\r")
	g.Says("IT-HANGS")
	g.Fails("deadline", "nobody confirmed it from outside")
	g.Ends("guest-reset")
	d.undecided(t)
	hasFailed(t, d.path, bootstate.Fail{Side: layout.SideB, Version: d.version, Stage: "deadline", Reason: "nobody confirmed it", Seq: 2})
}
