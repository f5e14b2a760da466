//go:build qemu

package qemutests

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// A trialDisk is a disk whose side B was put on trial, as the boot loader
// leaves it when it boots that side for the first time.
type trialDisk struct{ path, version, words string }

// onTrial makes one. A direct boot with its words is GRUB's boot of the trial,
// without the twenty seconds that firmware and GRUB take.
func onTrial(t testing.TB, confirm string) trialDisk {
	t.Helper()
	path, _ := ownDisk(t)
	return trialOn(t, path, confirm)
}

func trialOn(t testing.TB, path, confirm string) trialDisk {
	t.Helper()
	d := trialDisk{path: path, version: committed(t, path)}
	changeState(t, path, func(s *bootstate.State) { s.Seq, s.Try, s.Alt = 2, layout.SideB, "" })
	changeTries(t, path, bootstate.Tries{Left: 2, For: 2, Confirm: confirm})
	d.words = fmt.Sprintf("psyopsos.boot=trial2 psyopsos.disk=%s", partition(t, path, layout.SideB).UUID)
	return d
}

func (d trialDisk) state(t testing.TB) (bootstate.State, bootstate.Tries) {
	t.Helper()
	files := loaderFiles(t, d.path)
	if string(files.State1) != string(files.State2) {
		t.Error("the two copies of the state differ")
	}
	state, _ := bootstate.Pick(files.State1, files.State2)
	return state, bootstate.ParseTries(files.Tries)
}

// undecided checks that nobody has committed.
func (d trialDisk) undecided(t testing.TB) {
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
	g := boot(t, Scenario{Disks: onDisk(d.path), Side: layout.SideB, Words: d.words + " psyopsos.deadline=150",
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
	// -u: OpenRC's tree of services is of this image's time, decades after 1970.
	g.Runs(`printf '%s\n' '#!/sbin/openrc-run' 'depend() { after killprocs; }' 'start() { echo IT-HANGS >/dev/ttyS0; while :; do sleep 9; done; }' >/etc/init.d/hangs
chmod +x /etc/init.d/hangs; rc-update add hangs shutdown; rc-update -u`)
	g.Types("reboot\r")
	g.Says("IT-HANGS")
	g.Fails("deadline", "nobody confirmed it from outside")
	g.Ends("guest-reset")
	d.undecided(t)
	hasFailed(t, d.path, bootstate.Fail{Side: layout.SideB, Version: d.version, Stage: "deadline", Reason: "nobody confirmed it", Seq: 2})
}

// Issue 4, trials: the watchdog of a real machine resets it when the kernel
// hangs, and with it the deadline.
func TestTheWatchdogEndsATrialWhoseKernelHangs(t *testing.T) {
	d := onTrialGeneric(t, bootstate.ConfirmRemote)
	g := boot(t, Scenario{Images: generic, Disks: onDisk(d.path), Side: layout.SideB,
		Words: d.words + " i6300esb.heartbeat=30 blacklist=iTCO_wdt", Machine: vm.Machine{Memory: 1024, Watchdog: true, Fails: []string{}}, Deadline: 8 * time.Minute})
	g.Sees(func(e step.Event) bool {
		return e.Step == "deadline" && strings.Contains(e.Message, "i6300ESB") && strings.Contains(e.Message, "is armed")
	})
	g.Login()
	g.trialIs("unconfirmed")
	g.Prints("cat /sys/class/watchdog/watchdog0/state", "active")
	g.hangs()
	g.Ends("guest-reset")
	d.undecided(t)
}

// nowayout: the watchdog cannot be disarmed, and the committed machine lives.
func TestAWatchdogThatCannotBeDisarmedDoesNotResetACommittedMachine(t *testing.T) {
	d := onTrialGeneric(t, "")
	g := boot(t, Scenario{Images: generic, Disks: onDisk(d.path), Side: layout.SideB,
		Words: d.words + " i6300esb.heartbeat=30 i6300esb.nowayout=1 blacklist=iTCO_wdt", Machine: vm.Machine{Memory: 1024, Watchdog: true, Fails: []string{}}, Deadline: 8 * time.Minute})
	g.Sees(func(e step.Event) bool {
		return e.Step == "deadline" && strings.Contains(e.Message, "cannot be disarmed")
	})
	g.Login()
	g.Prints("cat /sys/class/watchdog/watchdog0/nowayout", "1")
	g.Sleeps(40)
	g.Prints("cat /sys/class/watchdog/watchdog0/timeout /sys/class/watchdog/watchdog0/state", "30\nactive")
	if state, _ := d.state(t); state.Good != layout.SideB {
		t.Errorf("the disk says %+v", state)
	}
}

// hangs stops the kernel: a panic that waits for ever.
func (g *Guest) hangs() {
	g.t.Helper()
	g.Types("echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger\r")
	g.Says("Kernel panic")
}

// onTrialGeneric is onTrial with the kernel for real hardware.
func onTrialGeneric(t testing.TB, confirm string) trialDisk {
	t.Helper()
	i, err := generic()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	run(t, "cp", "--sparse=always", i.Disk, path)
	if err := disk.Regenerate(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	return trialOn(t, path, confirm)
}

// Issue 4, trials: the stick is pulled out before the checks have answered.
// Nothing will restart the machine, also not the watchdog, and it commits when
// the stick is back.
func TestAMediumThatIsPulledDuringATrialIsCommittedWhenItReturns(t *testing.T) {
	d := onTrialGeneric(t, "")
	g := boot(t, Scenario{Images: generic, Disks: []vm.Disk{{ID: "stick", Path: d.path, Bus: vm.USB}}, Side: layout.SideB,
		Words:    d.words + " psyopsos.shell=before-handover psyopsos.patience=20 i6300esb.heartbeat=30 blacklist=iTCO_wdt",
		Machine:  vm.Machine{Memory: 1024, Watchdog: true},
		Deadline: 8 * time.Minute})
	g.Finishes("let go of the boot disk")
	g.Unplug("stick")
	g.Sees(func(e step.Event) bool {
		return e.Step == "deadline" && strings.Contains(e.Message, "the trial is over: unwritten")
	})
	g.Sees(func(e step.Event) bool { return e.Step == "deadline" && strings.Contains(e.Message, "is disarmed") })
	g.Login()
	g.Prints("cat /sys/class/watchdog/watchdog0/state", "inactive")
	g.Runs("neuralupgrade status | grep 'the disk that was booted is not there'")
	d.undecided(t)
	g.Runs("for i in $(seq 20); do test -e /run/psyopsOS/deadline.pid || break; sleep 1; done; ! test -e /run/psyopsOS/deadline.pid")
	g.Runs("test -d /proc/$(pidof neuralupgrade)")
	g.Plug("stick")
	g.trialIs("committed")
	if state, _ := d.state(t); state.Good != layout.SideB || state.Try != "" || state.B != d.version {
		t.Errorf("the disk says %+v", state)
	}
}

// Issue 4, trials: a side that was chosen by hand commits nothing; a restart
// with kexec into the side on trial is a counted try of it; the health service
// commits it.
func TestByHandNothingIsCommittedAndKexecCountsATry(t *testing.T) {
	path, sideA := ownDisk(t)
	d := trialOn(t, path, "")
	changeTries(t, path, bootstate.Tries{Left: 2, For: 2, Run: 1})
	before := loaderFiles(t, path)
	g := boot(t, Scenario{Disks: onDisk(path), Resets: true, Words: "psyopsos.boot=manual psyopsos.disk=" + sideA,
		Machine: vm.Machine{Translated: 32}, Deadline: 9 * time.Minute})
	g.Login()
	g.judged()
	g.Runs("grep 'nothing is committed: psyopsOS-A runs as manual' /var/log/psyopsos-health.log")
	if after := loaderFiles(t, path); !reflect.DeepEqual(before, after) {
		t.Errorf("the boot loader's files have changed: %q", after.Tries)
	}
	g.Runs("grep 'psyopsOS: psyopsOS-A .* chosen by hand; psyopsOS-B goes on trial' /etc/issue")
	g.Restarts("neuralupgrade reboot --kexec")
	g.Says("psyopsOS-B starts as trial1")
	g.BootsAs(bootstate.Trial(1))
	if tries := triesOf(t, path); tries.Left != 1 {
		t.Errorf("the disk says %+v, want one try to be left", tries)
	}
	g.HandsOver()
	g.Login()
	g.trialIs("committed")
	g.Prints("cut -d' ' -f1-3 /proc/cmdline", "ro psyopsos=psyopsOS-B psyopsos.boot=trial1")
	g.Runs("neuralupgrade status --line | grep 'psyopsOS-B .* committed'")
	if state, tries := d.state(t); state.Good != layout.SideB || tries != (bootstate.Tries{}) {
		t.Errorf("the disk says %+v, %+v", state, tries)
	}
}
