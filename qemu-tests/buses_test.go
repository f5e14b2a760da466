//go:build qemu

package qemutests

import (
	"os"
	"testing"

	"psyopsOS/vm"
)

// Issue 2: storage modules by modalias, with what they need first. The drivers
// of all but virtio are modules of the kernel for real hardware, and of those
// only what the initramfs holds can be loaded before the side is read.
func TestTheSideIsFoundOnEveryBus(t *testing.T) {
	for _, bus := range []vm.Bus{vm.AHCI, vm.NVMe, vm.SCSI, vm.SD, vm.USB} {
		t.Run(string(bus), func(t *testing.T) {
			i, err := generic()
			if err != nil {
				t.Fatal(err)
			}
			disk := vm.Disk{ID: "boot", Bus: bus, Path: i.Disk, Snapshot: true}
			if bus == vm.SD { // QEMU wants a card whose size is a power of two
				disk.Path = t.TempDir() + "/card.img"
				run(t, "cp", "--sparse=always", i.Disk, disk.Path)
				if err := os.Truncate(disk.Path, 1<<30); err != nil {
					t.Fatal(err)
				}
			}
			g := boot(t, Scenario{Images: generic, Disks: []vm.Disk{disk}, OpenEnd: true})
			g.Finishes("verify the manifest")
		})
	}
}
