package qemutests

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/step"
	"psyopsOS/vm"
)

func TestAScenarioIsAMachine(t *testing.T) {
	images := Images{Kernel: "/i/kernel", Initramfs: "/i/initramfs", Disk: "/i/disk.img"}
	firmware := vm.Firmware{Code: "/code", Vars: "/vars"}
	const usual = "psyopsos=psyopsOS-A console=ttyS0,115200 panic=-1 psyopsos.events=/dev/ttyS1"
	shared := []vm.Disk{{ID: "boot", Path: "/i/disk.img", Snapshot: true, BootIndex: 1}}
	direct := vm.Machine{Accel: "tcg", NoReboot: true, Kernel: "/i/kernel", Initrd: "/i/initramfs", Append: usual, Disks: shared}
	with := func(change func(*vm.Machine)) vm.Machine {
		m := direct
		change(&m)
		return m
	}
	for _, c := range []struct {
		name string
		in   Scenario
		want vm.Machine
	}{
		{"the usual one", Scenario{}, direct},
		{"side B", Scenario{Side: layout.SideB}, with(func(m *vm.Machine) { m.Append = strings.Replace(usual, "-A", "-B", 1) })},
		{"further words", Scenario{Words: "quiet"}, with(func(m *vm.Machine) { m.Append = usual + " quiet" })},
		{"its own command line", Scenario{Cmdline: "root=/dev/vda"}, with(func(m *vm.Machine) { m.Append = "root=/dev/vda" })},
		{"resets", Scenario{Resets: true}, with(func(m *vm.Machine) { m.NoReboot = false })},
		{"less memory", Scenario{Machine: vm.Machine{Memory: 128}}, with(func(m *vm.Machine) { m.Memory = 128 })},
		{"the shared disk on USB", Scenario{Disks: []vm.Disk{{Bus: vm.USB}}},
			with(func(m *vm.Machine) { m.Disks = []vm.Disk{{Path: "/i/disk.img", Bus: vm.USB, Snapshot: true}} })},
		{"a disk of its own", Scenario{Disks: []vm.Disk{{Path: "/own"}}}, with(func(m *vm.Machine) { m.Disks = []vm.Disk{{Path: "/own", NoFlush: true}} })},
		{"no disk", Scenario{Disks: []vm.Disk{}}, with(func(m *vm.Machine) { m.Disks = nil })},
		{"by firmware", Scenario{Firmware: true}, vm.Machine{Accel: "tcg", NoReboot: true, Firmware: firmware, Disks: shared}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := MachineFor(c.in, images, firmware, "tcg"); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestAMissingFinalEventIsAFailure(t *testing.T) {
	begin := step.Event{Step: "read the command line", Kind: step.Started}
	mount := step.Event{Time: time.Second, Step: "mount psyopsOS-A", Kind: step.Finished}
	handOver := step.Event{Time: 2 * time.Second, Step: "hand over", Kind: step.Note, Message: "to /sbin/init"}
	failed := step.Event{Time: 2 * time.Second, Step: "copy squashfs", Kind: step.Failed}
	optional := step.Event{Time: 2 * time.Second, Step: "load drivers", Kind: step.Failed, Optional: true}
	later := step.Event{Time: 3 * time.Second, Step: "mount the new root", Kind: step.Finished}
	slow := step.Event{Time: 3 * time.Second, Step: "read the command line", Kind: step.Started}
	for _, c := range []struct {
		name   string
		s      Scenario
		events []step.Event
		want   string
	}{
		{"a hand-over is an end", Scenario{}, []step.Event{begin, mount, handOver}, ""},
		{"a failure is an end", Scenario{}, []step.Event{begin, mount, failed, later}, ""},
		{"a failure that goes on is none", Scenario{}, []step.Event{begin, optional}, "final event is missing"},
		{"silence after a step", Scenario{}, []step.Event{begin, mount}, `after "mount psyopsOS-A (0 ms)"`},
		{"silence", Scenario{}, nil, "no event at all"},
		{"the end of the boot before does not count", Scenario{Resets: true}, []step.Event{begin, handOver, begin, mount}, "final event is missing"},
		{"nor before one that is slower", Scenario{Resets: true}, []step.Event{begin, handOver, slow}, "final event is missing"},
		{"the end of the second boot does", Scenario{Resets: true}, []step.Event{begin, failed, begin, handOver}, ""},
		{"an open end", Scenario{OpenEnd: true}, []step.Event{begin}, ""},
		{"no port for events", Scenario{Machine: vm.Machine{NoEvents: true}}, nil, ""},
		{"a command line without events", Scenario{Cmdline: "root=/dev/vda"}, nil, ""},
		{"a command line with events", Scenario{Cmdline: "root=/dev/vda psyopsos.events=/dev/ttyS1"}, nil, "no event at all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := judge(c.s, c.events)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
