// Package qemutests boots what the build makes and asserts on what the boot
// tells and on what the guest itself says. The tests have the build tag qemu:
// `make qemu-test RUN=LateStick`.
//
// A test names a Scenario, boots it and says what must happen:
//
//	func TestALateStickIsFoundAtOnce(t *testing.T) {
//		g := boot(t, Scenario{Disks: []vm.Disk{{ID: "stick", Bus: vm.USB, Absent: true, Snapshot: true}}})
//		g.Fact("waiting")
//		g.Plug("stick")
//		g.HandsOver()
//		g.Login()
//		g.Prints("uname -r", g.Images.KernelVersion)
//		g.PowersOff()
//	}
//
// Every wait ends with the scenario's deadline, with a failure that the guest
// tells and nobody waited for, or with the guest. What a failed test's guest
// said is kept in test-logs/.
package qemutests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/vm"
)

// Images are what one build made, shared by the tests, which may not write to
// any of it.
type Images struct {
	Kernel        string
	Initramfs     string
	KernelVersion string // what uname -r says
	Squashfs      string
	Modloop       string
	Side          string // folder with all files of a side
	Disk          string // a whole disk, raw: both ESPs, secrets, both sides
	Release       string
}

// A Suite is what the tests of one run share.
type Suite struct {
	Images func() (Images, error) // builds them at the first call
	Logs   string                 // where the logs of failed tests go
	Getenv func(string) string
	slots  chan struct{}
}

// atOnce is how many machines may run at a time: two cores are what continuous
// integration has, and a third guest makes three slow ones.
// QEMU_AT_ONCE is for a machine with more.
const atOnce = 2

// NewSuite is a suite whose logs go to folder logs.
func NewSuite(images func() (Images, error), logs string) *Suite {
	slots := atOnce
	if n, err := strconv.Atoi(os.Getenv("QEMU_AT_ONCE")); err == nil && n > 0 {
		slots = n
	}
	return &Suite{Images: images, Logs: logs, Getenv: os.Getenv, slots: make(chan struct{}, slots)}
}

// A Scenario is how a machine differs from the usual one: a direct boot of
// side A of the shared disk on virtio, with nothing written to it for good.
type Scenario struct {
	Images func() (Images, error) // of another build than the suite's

	Firmware bool         // through OVMF and GRUB; the disk's own menu then decides the command line
	Side     layout.Label // default side A
	Words    string       // further kernel words of a direct boot
	Cmdline  string       // of a direct boot, instead of the usual one
	Disks    []vm.Disk    // instead of the shared one; a Path left empty is the shared image
	Machine  vm.Machine   // all else: memory, CPU, NICs, ports

	Resets   bool          // a reset is part of the story; otherwise it ends the machine
	OpenEnd  bool          // the test ends in the middle of the boot
	Deadline time.Duration // default 4 minutes
}

// UsualWords are on every direct boot's command line. A panic ends the machine
// at once, instead of sitting there until the deadline.
const UsualWords = "console=ttyS0,115200 panic=-1 psyopsos.events=" + vm.EventsDevice

const usualDeadline = 4 * time.Minute

// MachineFor is the machine of scenario s with images i.
func MachineFor(s Scenario, i Images, firmware vm.Firmware, accel string) vm.Machine {
	m := s.Machine
	m.Accel = accel
	m.NoReboot = !s.Resets
	m.Disks = append([]vm.Disk(nil), s.Disks...)
	if s.Disks == nil {
		m.Disks = []vm.Disk{{ID: "boot", Snapshot: true, BootIndex: 1}}
	}
	for n := range m.Disks {
		if m.Disks[n].Path == "" {
			m.Disks[n].Path, m.Disks[n].Snapshot = i.Disk, true
		}
		// A test's disk is gone with the test: waiting for the host's disk has
		// cost a boot more than a minute on a busy machine.
		m.Disks[n].NoFlush = !m.Disks[n].Snapshot
	}
	if s.Firmware {
		m.Firmware = firmware
		return m
	}
	m.Kernel, m.Initrd, m.Append = i.Kernel, i.Initramfs, s.Cmdline
	if m.Append == "" {
		side := s.Side
		if side == "" {
			side = layout.SideA
		}
		m.Append = strings.TrimSpace("psyopsos=" + string(side) + " " + UsualWords + " " + s.Words)
	}
	return m
}

// Boot starts a machine and returns its guest. When the test ends the machine
// is killed; a test that failed leaves its logs, and one whose guest never
// came to an end of its boot fails.
func (s *Suite) Boot(t testing.TB, scenario Scenario) *Guest {
	t.Helper()
	build := s.Images
	if scenario.Images != nil {
		build = scenario.Images
	}
	images, err := build()
	if err != nil {
		t.Fatalf("build the images: %v", err)
	}
	m, err := s.machine(scenario, images)
	if err != nil {
		t.Fatal(err)
	}
	s.takesSlot(t)
	deadline := scenario.Deadline
	if deadline == 0 {
		deadline = usualDeadline
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), deadline,
		fmt.Errorf("the scenario's deadline of %s is over", deadline))
	t.Cleanup(cancel)
	v, err := vm.Start(ctx, m, filepath.Join(t.TempDir(), "vm"))
	if err != nil {
		t.Fatal(err)
	}
	g := &Guest{VM: v, Images: images, t: t, ctx: ctx}
	t.Cleanup(func() { g.end(scenario, s.Logs) })
	return g
}

// takesSlot waits until fewer machines run than may, and counts one until t
// ends.
func (s *Suite) takesSlot(t testing.TB) {
	s.slots <- struct{}{}
	t.Cleanup(func() { <-s.slots })
}

func (s *Suite) machine(scenario Scenario, images Images) (vm.Machine, error) {
	accel, err := vm.AccelFromEnv(s.Getenv)
	if err != nil {
		return vm.Machine{}, err
	}
	var firmware vm.Firmware
	if scenario.Firmware {
		if firmware, err = vm.FindFirmware(os.DirFS("/")); err != nil {
			return vm.Machine{}, err
		}
	}
	return MachineFor(scenario, images, firmware, accel), nil
}
