//go:build qemu

package qemutests

import (
	"bytes"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/vm"
)

// menuDown moves GRUB's mark down: Ctrl-N. An arrow is three bytes, and GRUB
// takes them for one key only if they come within 100 ms of each other, which
// a guest that shares its processors cannot promise.
const menuDown = "\x0e"

// FORMATS.md, section 2: the entries in their order, on serial too; a side that
// is chosen by hand counts nothing.
func TestTheMenuBootsASideByHand(t *testing.T) {
	path, _ := ownDisk(t)
	tries := func() []byte {
		t.Helper()
		content, err := bootstate.ReadFile(openVolume(t, path, layout.EFISystem), layout.Tries)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	before := tries()
	g := boot(t, Scenario{Firmware: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}}})
	g.Says("Esc for the menu")
	g.Types("\x1b")
	g.Says(`Welcome to psyopsOS: loader of \d{4}-\d\d-\d\d`)
	for _, entry := range []string{"-----", "psyopsOS-A", "psyopsOS-B", "UEFI fwsetup", "Reboot", "Poweroff", "Exit GRUB"} {
		g.Says(entry)
	}
	for _, entry := range []string{"-----", "psyopsOS-A", "psyopsOS-B"} {
		g.Types(menuDown)
		g.Says(`\*` + entry)
	}
	g.Types("\r")
	g.Says(`trying psyopsOS-B \(manual\)`)
	if device := g.Fact("device"); device != "vda4" {
		t.Errorf("booted from %v, want vda4", device)
	}
	g.HandsOver()
	if after := tries(); !bytes.Equal(before, after) {
		t.Errorf("the choice was counted: TRIES.ENV was\n%s\nand is\n%s", before, after)
	}
}
