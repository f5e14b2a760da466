//go:build qemu

package qemutests

import (
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/vm"
)

// Issue 2, test 1: all of it, as a user sees it.
func TestPowerOnToLoginAndOff(t *testing.T) {
	g := boot(t, Scenario{Firmware: true, Machine: vm.Machine{NICs: []vm.NIC{{}}}})
	g.Says("psyopsOS-A")
	if ahead := g.Fact("tables_ahead"); ahead != true {
		t.Error("the initramfs has no tables of the modloop's modules, or others: each boot reads them again")
	}
	g.HandsOver()
	g.Login()
	g.Prints("uname -r", g.Images.KernelVersion)
	if failed := g.Runs("rc-status --nocolor --crashed; rc-status --nocolor -a | grep -E 'crashed|stopped' | grep -v stopped || true"); failed != "" {
		t.Errorf("services that failed: %s", failed)
	}
	g.Prints("cat /sys/kernel/rcu_expedited", "0") // boot.HurryGracePeriods
	g.Prints("hostname", "demo")
	g.Prints("ls /sys/class/net | tr '\\n' ' '", "lo psy0 ")
	status := g.Runs("neuralupgrade status")
	for _, want := range []string{"psyopsOS-A", "good", "RAM", "demo"} {
		if !strings.Contains(status, want) {
			t.Errorf("status does not tell %q:\n%s", want, status)
		}
	}
	g.judged() // the health service reads the sides for a moment, and then lets go of them
	g.Prints("grep -c /dev/vd /proc/mounts || true", "0")
	g.PowersOff()
}

// Issue 2, test 2.
func TestTheStateChoosesSideB(t *testing.T) {
	path, _ := ownDisk(t)
	changeState(t, path, func(s *bootstate.State) { s.Seq, s.Good, s.Alt = 2, layout.SideB, layout.SideA })
	g := boot(t, Scenario{Firmware: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}}})
	if device := g.Fact("device"); device != "vda4" {
		t.Errorf("booted from %v, want vda4", device)
	}
	g.HandsOver()
	// GRUB counts each boot; three that nobody calls healthy would end on the
	// other side.
	run := func() int { return triesOf(t, path).Run }
	if got := run(); got != 1 {
		t.Errorf("the loader counted %d boots since the last healthy one, want 1", got)
	}
	g.Login()
	g.Runs("neuralupgrade status | grep -q psyopsOS-B")
	g.Runs("for i in $(seq 60); do grep -q healthy /etc/psyopsOS/status/health && break; sleep 1; done; grep -q 'healthy.: true' /etc/psyopsOS/status/health")
	g.Runs("for i in $(seq 60); do [ -s /var/log/psyopsos-health.log ] && break; sleep 1; done; cat /var/log/psyopsos-health.log")
	if got := run(); got != 0 {
		t.Errorf("after a healthy boot the loader's count is %d, want 0", got)
	}
	g.PowersOff()
}

// Issue 2, test 3: the promise that the stick can be pulled out.
func TestTheStickIsPulledOutAndNothingStops(t *testing.T) {
	g := boot(t, Scenario{
		Images:   generic,
		Disks:    []vm.Disk{{ID: "stick", Bus: vm.USB}},
		Machine:  vm.Machine{Memory: 1024},
		Deadline: 8 * time.Minute,
	})
	g.HandsOver()
	g.Login()
	g.Runs("sync; echo 3 > /proc/sys/vm/drop_caches")
	g.Unplug("stick")
	g.Runs("for i in 1 2 3 4 5; do test -e /dev/sda || break; sleep 1; done; ! test -e /dev/sda")
	want := squashfsSums(t, g.Images.Squashfs)
	got := g.Runs("cd /media/root-ro && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum")
	if got != want {
		t.Errorf("the root's files have the hash %q, the squashfs's have %q", got, want)
	}
	g.Runs("modprobe dummy && lsmod | grep -q ^dummy")
	g.Runs("rc-service sshd restart")
	g.PowersOff()
}

// Issue 2, test 4.
func TestMemoryThatIsTooSmallRunsFromTheDiskAndSaysSo(t *testing.T) {
	g := boot(t, Scenario{Machine: vm.Machine{Memory: 192}})
	g.Warns("this system runs from its disk")
	if inUse := g.Fact("boot_disk_in_use"); inUse != true {
		t.Errorf("boot_disk_in_use is %v", inUse)
	}
	g.HandsOver()
	g.Login()
	g.Runs("grep -q '/dev/vda3 /mnt/psyopsOS/a ext4 ro' /proc/mounts")
	g.PowersOff()
}

func TestMemoryThatIsTooSmallFailsWhereCopyingIsDemanded(t *testing.T) {
	g := boot(t, Scenario{Words: "psyopsos.toram=yes psyopsos.onfail=poweroff psyopsos.shell=never", Machine: vm.Machine{Memory: 192}})
	e := g.Fails("plan memory", "copying the image needs")
	if e.Hint == "" {
		t.Error("no hint")
	}
	g.Ends("guest-shutdown")
}

// Issue 2, test 6.
func TestALateStickIsFoundAtOnce(t *testing.T) {
	g := boot(t, Scenario{Disks: []vm.Disk{{ID: "late", Absent: true}}})
	g.Finishes("load storage drivers")
	g.Says(`find psyopsOS-A \.\.\.|load storage drivers \(`)
	g.Sleeps(8)
	g.Plug("late")
	plugged := g.age()
	if looks := g.Fact("looks").(float64); looks > 5 {
		t.Errorf("looked at the disks %v times (two of them before the disk came): the disk and its partitions come in few bursts", looks)
	}
	found := g.Sees(vm.Finished("find psyopsOS-A"))
	t.Logf("found %.2f s after it was plugged, by the host's clock", g.age()-plugged)
	if found.Elapsed.Seconds() < 7 {
		t.Errorf("it was not late: %v", found.Elapsed)
	}
	g.HandsOver()
}

// Issue 2, test 5: the foreign disk comes first.
func TestTheBootedDiskWinsOverAnotherWithTheSameLabels(t *testing.T) {
	own, sideA := ownDisk(t)
	g := boot(t, Scenario{
		Disks: []vm.Disk{{ID: "foreign"}, {ID: "booted", Path: own}},
		Words: "psyopsos.disk=" + sideA,
	})
	g.Warns("is also on vda3")
	if device := g.Fact("device"); device != "vdb3" {
		t.Errorf("booted from %v, want vdb3", device)
	}
	g.HandsOver()
}

// Issue 2, test 7.
func TestNoNetworkCardAndQuiet(t *testing.T) {
	g := boot(t, Scenario{Words: "quiet"})
	g.HandsOver()
	g.Login()
	g.Prints("ls /sys/class/net", "lo")
	if text := g.VM.Console.Text(); strings.Contains(text, "copy squashfs") {
		t.Errorf("quiet is not:\n%s", text)
	}
	g.Runs("dmesg | grep -q 'psyopsOS: .*copy squashfs'")
	g.PowersOff()
}

func TestNoSerialPort(t *testing.T) {
	port, err := vm.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, Scenario{
		Cmdline: "psyopsos=psyopsOS-A console=tty0 panic=-1 psyopsos.events=" + vm.EventsDevice,
		Machine: vm.Machine{NoConsole: true, VGA: true, NICs: []vm.NIC{{SSH: port}}},
	})
	g.HandsOver()
	g.AnswersSSH(port)
}

func TestWordsOfTheCommandLineAreObeyed(t *testing.T) {
	g := boot(t, Scenario{Side: layout.SideB, Words: "debug_init modules=dummy blacklist=evdev overlaytmpfsflags=size=50m dummy.numdummies=3 psyopsos.verfy=off chart"})
	g.Warns("psyopsos.verfy")
	g.HandsOver()
	g.Login()
	if text := g.VM.Console.Text(); !strings.Contains(text, "mount psyopsOS-B ...") {
		t.Error("debug_init does not tell that a step begins")
	}
	g.Runs("lsmod | grep -q ^dummy && test -d /sys/class/net/dummy2")
	g.Runs("! lsmod | grep -q ^evdev")
	g.Prints("df -k /media/root-rw | awk 'NR==2{print $2}'", "51200")
	g.PowersOff()
}

func TestAnotherInitWithArguments(t *testing.T) {
	g := boot(t, Scenario{Words: `init=/bin/sh init_args="-c echo${IFS}INIT-$$-$0-$1-$FOO-$TERM;poweroff${IFS}-f a b" FOO=bar`})
	g.HandsOver()
	g.Says("INIT-1-a-b--linux")
	g.Ends("guest-shutdown")
}

// FORMATS.md, section 8: what the new init finds.
func TestTheNewInitFindsACleanProcess(t *testing.T) {
	g := boot(t, Scenario{Words: "init=/bin/sh init_args=-i"})
	g.HandsOver()
	if err := g.VM.Console.Shell(g.ctx); err != nil {
		t.Fatal(err)
	}
	g.Runs("dmesg -n 1")
	g.Prints("echo $$", "1")
	g.Prints("umask", "0022")
	g.Prints("ulimit -Sn", "1024")
	g.Prints("grep SigBlk /proc/1/status", "SigBlk:\t0000000000000000")
	g.Prints("for i in 0 1 2; do readlink /proc/1/fd/$i; done | sort -u", "/dev/console")
	// ash opens its terminal once more, with a number from 10 on.
	g.Prints("ls /proc/1/fd | grep -vE '^(0|1|2|[1-9][0-9])$' || true", "")
	g.Prints("tr '\\0' '\\n' < /proc/1/environ | sort", "HOME=/\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nTERM=linux")
	for _, mount := range []string{"/proc proc", "/sys sysfs", "/dev devtmpfs", "/dev/pts devpts", "/dev/shm tmpfs", "/run tmpfs",
		"/media/root-ro squashfs", "/media/root-rw tmpfs", "/media/psyopsOS tmpfs", "/.modloop squashfs", "/mnt/psyops-secret/mount tmpfs"} {
		g.Runs("grep -q ' " + mount + " ' /proc/mounts")
	}
	g.Runs("grep -q ' /dev/pts .*gid=5,mode=620' /proc/mounts")
	g.Runs("modprobe dummy && lsmod | grep -q ^dummy")
	g.Types("poweroff -f\r")
	g.Ends("guest-shutdown")
}

// Issue 2, test 8.
func TestAPlainRootBoots(t *testing.T) {
	g := boot(t, Scenario{
		Cmdline: "root=/dev/vda rootfstype=squashfs " + UsualWords,
		Disks:   []vm.Disk{{ID: "root", Path: images(t).Squashfs, ReadOnly: true}},
	})
	g.HandsOver()
	g.Login()
	g.Runs("grep -q '/dev/vda /media/root-ro squashfs ro' /proc/mounts")
	g.PowersOff()
}

// Issue 2, test 9.
func TestInitRefusesToRunWhenItIsNotPID1(t *testing.T) {
	g := boot(t, Scenario{})
	g.Login()
	g.judged()
	before := g.Runs("cat /proc/self/mountinfo | wc -l")
	output, code := g.Tries("cp /usr/sbin/neuralupgrade /tmp/init && /tmp/init")
	if code != 1 || !strings.Contains(output, "not PID 1") {
		t.Errorf("got exit code %d and %q", code, output)
	}
	g.Prints("cat /proc/self/mountinfo | wc -l", before)
	g.PowersOff()
}

// Issue 2, test 10.
func TestAMissingLabelIsToldWithWhatWasSeen(t *testing.T) {
	g := boot(t, Scenario{
		Words: "psyopsos.wait=2 psyopsos.onfail=poweroff psyopsos.shell=never",
		Disks: []vm.Disk{{ID: "other", Path: emptySide(t, "psyopsOS-B")}},
	})
	e := g.Fails("find psyopsOS-A", "saw psyopsOS-B (vda)")
	if !strings.Contains(e.Hint, "choose psyopsOS-B") {
		t.Errorf("the hint is %q", e.Hint)
	}
	g.Says(`FAILED: find psyopsOS-A`)
	g.Ends("guest-shutdown")
}

func TestAnEmptySideIsRefused(t *testing.T) {
	g := boot(t, Scenario{
		Words: "psyopsos.onfail=poweroff psyopsos.shell=never",
		Disks: []vm.Disk{{ID: "empty", Path: emptySide(t, "psyopsOS-A")}},
	})
	g.Fails("verify the manifest", "manifest.json")
	g.Ends("guest-shutdown")
}
