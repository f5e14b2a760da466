//go:build qemu

package qemutests

import (
	"strings"
	"testing"
	"time"

	"psyopsOS/step"
	"psyopsOS/vm"
)

// absent is the usual disk, which nobody has plugged in yet.
func absent() []vm.Disk { return []vm.Disk{{ID: "late", Absent: true}} }

// opensShell presses a key at the offer, and waits for the shell.
func (g *Guest) opensShell() {
	g.t.Helper()
	g.Says("Press any key for a shell here")
	g.Types("x")
	g.Says("`exit` leaves the shell")
	if err := g.VM.Console.Shell(g.ctx); err != nil {
		g.t.Fatal(err)
	}
}

// Issue 3, test 5: the shell before anything is mounted, and what it can do.
func TestShellFirstHasWhatHelpsAndTheBootGoesOn(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.shell=first"})
	g.opensShell()
	if text := g.VM.Console.Text(); !strings.Contains(text, "psyopsos.shell=first asks") || strings.Contains(text, "find psyopsOS-A") {
		t.Errorf("the shell is not the first thing:\n%s", text)
	}
	for _, c := range []struct{ command, shows string }{
		{"ls /", "newroot"},
		{"mkdir /tmp/a; mount -r -t ext4 /dev/vda3 /tmp/a; ls /tmp/a; umount /tmp/a", "manifest.json.minisig"},
		{"mount", "devtmpfs"},
		{"dmesg", "Linux version"},
		{"ps aux", "kthreadd"},
		{"ip link", "lo"},
		{"lsmod", "virtio_blk"},
		{"rmmod loop; modprobe loop; lsmod", "loop"},
		{"blkid", "psyops-secret"},
		{"dd if=/dev/vda bs=512 skip=1 count=1 | hexdump", "EFI PART"},
		{"printf 'a\\nfirst line\\n.\\nw\\nq\\n' | ed /tmp/note; cat /tmp/note", "first line"},
		{"cat /run/psyopsOS/boot.json", "psyopsos.shell=first"},
		{"neuralupgrade status", "psyopsOS-A"},
		{"help", "hexdump"},
	} {
		if output, code := g.Tries(c.command); code != 0 || !strings.Contains(output, c.shows) {
			t.Errorf("%s: exit code %d, want %q in its output:\n%s", c.command, code, c.shows, output)
		}
	}

	// Ctrl-C ends the program and not the shell.
	g.Types("sleep 1000; echo SL''EPT\r")
	g.Sleeps(2)
	g.Types("\x03")
	if err := g.VM.Console.Shell(g.ctx); err != nil {
		t.Fatal(err)
	}
	if output, _ := g.Tries("ps"); strings.Contains(output, "sleep") {
		t.Errorf("sleep runs on:\n%s", output)
	}
	// Nothing that is typed there ends PID 1.
	for _, signal := range []string{"1", "2", "3", "6", "11", "13", "15"} {
		if complaint := g.Runs("kill -" + signal + " 1"); complaint != "" {
			t.Errorf("kill -%s 1 says %q", signal, complaint)
		}
	}
	g.Types("exit\r")
	g.HandsOver()
}

// Issue 3, test 5: after a failure, on two consoles: the serial line and a
// screen with a keyboard on USB, whose driver is a module.
func TestAfterAFailureTheFirstKeyWinsAndLeavingRepeatsTheStep(t *testing.T) {
	g := boot(t, Scenario{
		Images:  generic,
		Cmdline: "psyopsos=psyopsOS-A console=tty0 " + UsualWords + " psyopsos.wait=3",
		Disks:   absent(),
		Machine: vm.Machine{VGA: true, Extra: []string{"-device", "qemu-xhci,id=keys", "-device", "usb-kbd,bus=keys.0"}},
	})
	if e := g.Fails("find psyopsOS-A", "no volume labelled psyopsOS-A"); e.Hint == "" {
		t.Error("no hint")
	}
	g.Says("FAILED: find psyopsOS-A")
	g.Says(`this boot failed[\s\S]*find psyopsOS-A[\s\S]*Press any key for a shell here`)
	g.presses("spc")
	g.Says("The shell runs on tty1")
	g.presses("e", "x", "i", "t", "ret")
	g.Says("The shell on tty1 was left")

	g.Fails("find psyopsOS-A", "no volume labelled psyopsOS-A")
	g.opensShell()
	screen := g.Runs("cat /dev/vcs1")
	for _, told := range []string{"Press any key for a shell here", "The shell runs on ttyS0"} {
		if !strings.Contains(screen, told) {
			t.Errorf("the screen does not show %q:\n%s", told, screen)
		}
	}
	if told := g.Runs("cat /run/psyopsOS/boot.json"); !strings.Contains(told, "no volume labelled psyopsOS-A") {
		t.Errorf("boot.json does not tell of the failure:\n%s", told)
	}
	g.Plug("late")
	g.Types("exit\r")
	g.Finishes("find psyopsOS-A")
	g.HandsOver()
}

// presses presses keys of the guest's keyboard, by QEMU's names.
func (g *Guest) presses(keys ...string) {
	g.t.Helper()
	for _, key := range keys {
		_, err := g.VM.QMP(g.ctx, "send-key", map[string]any{"keys": []any{map[string]string{"type": "qcode", "data": key}}})
		if err != nil {
			g.t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // QEMU holds a key for half of it
	}
}

func TestAShellThatNobodyTouchesRestartsTheMachine(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.wait=0 psyopsos.patience=3", Disks: absent()})
	g.Fails("find psyopsOS-A", "no volume")
	g.Says("Untouched, the machine restarts in 3 s")
	g.Types("x") // noise on the line
	g.Says("nobody types: leaving")
	g.Fails("find psyopsOS-A", "no volume")
	g.Says("Untouched, the machine restarts in 3 s")
	g.Says("Nobody pressed a key")
	g.Ends("guest-reset")
}

// The line is noisy, too: it begins with a Ctrl-S.
func TestSingleIsAShellBeforeTheRootAndUntouchedTheBootGoesOn(t *testing.T) {
	g := boot(t, Scenario{Words: "single psyopsos.patience=3"})
	g.Types("\x13\x13")
	g.Says("as single asks")
	g.Says("Untouched, the boot goes on in 3 s")
	g.Sees(vm.Finished("emergency shell"))
	for _, e := range g.VM.Events.All() {
		if e.Step == "mount psyopsOS-A" && e.Kind == step.Finished && e.Time < g.Sees(vm.Finished("emergency shell")).Time {
			t.Error("the side was mounted before the shell")
		}
	}
	g.HandsOver()
	g.Says(`copy squashfs \(`)
}

func TestShellBeforeHandoverSeesTheNewRoot(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.shell=before-handover"})
	g.opensShell()
	g.Prints("cat /newroot/etc/hostname", "demo")
	if mounted, _ := g.Tries("cat /proc/mounts"); strings.Contains(mounted, "/dev/vda") || !strings.Contains(mounted, "/newroot overlay") {
		t.Errorf("mounted is\n%s", mounted)
	}
	g.Types("exit\r")
	g.HandsOver()
	g.Says("OpenRC|login:")
}

func TestShellNeverOffersNone(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.shell=never psyopsos.onfail=reboot psyopsos.wait=0 panic=2", Disks: absent()})
	g.Fails("find psyopsOS-A", "no volume")
	g.Says("the machine restarts in 2s")
	g.Ends("guest-reset")
	if text := g.VM.Console.Text(); strings.Contains(text, "Press any key") {
		t.Errorf("a shell is offered:\n%s", text)
	}
}

// Issue 3, test 6: it stays, offers the shell again, and a disk that comes late
// is found without a hand.
func TestTheLastResortStaysAndTriesAgain(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.boot=lastresort psyopsos.wait=0 psyopsos.patience=4", Disks: absent()})
	for range 2 {
		g.Fails("find psyopsOS-A", "no volume")
		g.Says("last resort: this needs a person")
		g.Says("Untouched, the failed step is repeated in 4 s")
	}
	g.Plug("late")
	// It may take the kernel a few more looks to have the disk.
	for found := false; !found; {
		found = g.Sees(func(e step.Event) bool {
			return vm.FailedStep("find psyopsOS-A")(e) || vm.Finished("find psyopsOS-A")(e)
		}).Kind == step.Finished
	}
	g.HandsOver()
}

func TestOnFailShellStaysWithTheShellWhateverTheWhy(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.boot=trial0 psyopsos.onfail=shell psyopsos.wait=0 psyopsos.patience=3", Disks: absent()})
	g.Fails("find psyopsOS-A", "no volume")
	g.Says("Untouched, the failed step is repeated in 3 s")
	g.Fails("find psyopsOS-A", "no volume")
	g.opensShell()
	g.PowersOff()
}

func TestOnFailRebootRestartsAlsoTheLastResort(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.boot=lastresort psyopsos.onfail=reboot psyopsos.wait=0 panic=30", Disks: absent()})
	g.Fails("find psyopsOS-A", "no volume")
	g.Says("Untouched, the machine restarts in 30 s")
	g.Types("\r") // and a person may restart it sooner
	g.Says("`exit` leaves the shell")
	g.Types("reboot\r")
	g.Ends("guest-reset")
}
