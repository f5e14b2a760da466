package vm

import (
	"context"
	"slices"
	"sync"
	"time"
)

// QEMU without KVM keeps what it has translated when the machine is reset, and
// looks through the old translations of a page at every write to it: GRUB, where
// it came to lie on pages that had held Linux's code, took more than five
// minutes for what takes it four seconds. So a reset ends QEMU, and another one
// takes its place: with the same disks, the same variables of the firmware, the
// same ports and the same clock, and with empty memory, as after a power cycle.

// resetsAreStarts reports whether a reset of m is done that way.
func (m Machine) resetsAreStarts() bool { return m.Accel == "tcg" && !m.NoReboot }

// present is how the machine has come to differ from its Machine.
type present struct {
	mu    sync.Mutex
	disks map[string]bool // by id: whether a disk is in
	clock time.Duration   // how far the guest's clock is ahead of ours
}

func (p *present) plugged(id string, in bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disks == nil {
		p.disks = map[string]bool{}
	}
	p.disks[id] = in
}

// machine is m as it is now.
func (p *present) machine(m Machine) Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.Disks = slices.Clone(m.Disks)
	for i := range m.Disks {
		if in, ok := p.disks[m.Disks[i].ID]; ok {
			m.Disks[i].Absent = !in
		}
	}
	return m
}

// startsAnew reports whether a QEMU with m, which told these events, has ended
// because of a reset. It also takes note of what the guest has made of its clock.
func (p *present) startsAnew(m Machine, told []QMPEvent) bool {
	reset := false
	var ahead float64 // of the clock that QEMU was started with, in seconds
	for _, e := range told {
		switch e.Event {
		case "SHUTDOWN":
			reset = e.Data["reason"] == "guest-reset" || e.Data["reason"] == "host-qmp-system-reset"
		case "RTC_CHANGE":
			ahead, _ = e.Data["offset"].(float64)
		}
	}
	p.clock += time.Duration(ahead) * time.Second
	return reset && m.resetsAreStarts()
}

// args are QEMU's for m as it is now.
func (p *present) args(m Machine, dir string, ports func(Machine, string) []string) ([]string, error) {
	a, err := args(p.machine(m), dir, ports)
	if m.WithDefaults().resetsAreStarts() {
		a = append(a, "-no-reboot")
	}
	if p.clock != 0 {
		a = append(a, "-rtc", "base="+time.Now().Add(p.clock).UTC().Format("2006-01-02T15:04:05"))
	}
	return a, err
}

// again runs another QEMU after a reset.
func (v *VM) again(ctx context.Context, f *runFiles) error {
	args, err := v.now.args(v.Machine, v.Dir, inherited)
	if err != nil {
		return err
	}
	return v.process(ctx, args, f, func() { _, _ = v.monitor.send("qmp_capabilities", nil) })
}
