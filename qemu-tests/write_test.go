//go:build qemu

package qemutests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/vm"
)

const mib = 1 << 20

// Issue 5: `tk write` on disks of the kernel's, which a build machine's test
// has none of: what is refused, the question, Ctrl-C in the middle, and a disk
// that is the image but for its GUIDs.
func TestTkWritesToADiskAndRefusesTheOthers(t *testing.T) {
	i := images(t)
	dir := t.TempDir()
	empty := func(name string, size int64) vm.Disk {
		t.Helper()
		path := filepath.Join(dir, name+".img")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		return vm.Disk{ID: name, Path: path, Bus: vm.SCSI}
	}
	info, err := os.Stat(i.Disk)
	if err != nil {
		t.Fatal(err)
	}
	target, slow, small := empty("target", info.Size()+50*mib), empty("slow", info.Size()), empty("small", info.Size()-mib)
	slow.WriteRate, slow.Serial = 16*mib, "0123ABC"
	g := boot(t, Scenario{Deadline: 8 * time.Minute, Disks: []vm.Disk{{ID: "boot", Snapshot: true}, carrier(t, i.Disk), target, slow, small}})
	g.HandsOver()
	g.Login()
	g.judged() // the health service looks at the sides
	partitions := len(regexp.MustCompile(`(?m)^ +[0-9]`).FindAllString(run(t, "sgdisk", "-p", i.Disk), -1))
	// The kernel looks at them side by side: which of them is sdb is chance.
	device := func(n int) string {
		t.Helper()
		return "/dev/" + g.Runs(fmt.Sprintf("ls /sys/bus/scsi/devices/*:0:%d:0/block", n))
	}
	source, targetDev, slowDev, smallDev := device(0), device(1), device(2), device(3)
	g.Runs("mount -r -t ext4 " + source + " /mnt && export PATH=$PATH:/mnt")

	refuses := func(arguments string, why ...string) {
		t.Helper()
		said, code := g.Tries("tk write " + arguments + " 2>&1")
		for _, w := range why {
			if code == 0 || !strings.Contains(said, w) {
				t.Errorf("tk write %s: exit status %d, want another and %q in\n%s", arguments, code, w, said)
			}
		}
	}
	onto := func(device string) string { return device + " --image /mnt/image --yes-overwrite " + device }
	refuses(onto("/dev/vda1"), "/dev/vda1 is a partition", "hint: an image is a whole disk's: /dev/vda")
	refuses(onto(source), source+" is mounted on /mnt", "hint: umount /mnt")
	number := fmt.Sprint(partition(t, i.Disk, layout.SideA).Number)
	side := "vda" + number
	g.Runs("mkdir /tmp/side && mount -r -t ext4 /dev/" + side + " /tmp/side")
	refuses(onto("/dev/vda"), "/dev/vda is mounted on /tmp/side", "hint: umount /tmp/side")
	g.Runs("umount /tmp/side && mkswap /dev/" + side + " && swapon /dev/" + side)
	refuses(onto("/dev/vda"), "/dev/vda is swapped to: /dev/"+side, "hint: swapoff")
	g.Runs("swapoff /dev/" + side + " && losetup /dev/loop7 " + slowDev)
	refuses(onto(slowDev), slowDev+" is in use by loop7")
	g.Runs("losetup -d /dev/loop7")
	refuses(onto(smallDev), fmt.Sprintf("%s has %d.0 MiB, the image %d.0 MiB", smallDev, info.Size()/mib-1, info.Size()/mib))
	refuses(onto("/dev/ttyS0"), "/dev/ttyS0 is neither a disk nor a file")

	// Ctrl-C in the middle leaves a disk that nobody takes for a system.
	g.Types("tk write " + slowDev + " --image /mnt/image\r")
	g.Says(slowDev + `: QEMU HARDDISK, serial 0123ABC, [0-9.]+ MiB \([0-9]+ bytes\)`)
	g.Says("Type its name to write: ")
	g.Types(slowDev + "\r")
	g.Says(`write to ` + slowDev + `.*[0-9]+.*MiB`)
	g.Types("\x03")
	g.Says(`tk write: .*(cancell?ed|interrupt).*`)
	g.Runs("true")
	g.Prints("head -c 1048576 "+slowDev+" | tr -d '\\0' | wc -c", "0")

	// The wrong name, and the right one.
	g.Types("tk write " + targetDev + " --image /mnt/image\r")
	g.Says("Type its name to write: ")
	g.Types(slowDev + "\r")
	g.Says(`"` + slowDev + `" is not ` + targetDev + `: nothing was written`)
	g.Types("tk write " + targetDev + " --image /mnt/image\r")
	g.Says("Type its name to write: ")
	g.Types(targetDev + "\r")
	g.Says(`write to ` + targetDev)
	g.Says(`read back`)
	g.Says(`write the partition table, with GUIDs of its own`)
	g.Prints("sleep 1; ls -d /sys/block/"+filepath.Base(targetDev)+"/"+filepath.Base(targetDev)+"[0-9]* | wc -l", fmt.Sprint(partitions)) // and the kernel has looked
	g.Prints("mount -r -t ext4 "+targetDev+number+" /tmp/side && ls /tmp/side/kernel", "/tmp/side/kernel")
	g.Runs("umount /tmp/side")
	g.PowersOff()

	if said := run(t, "sgdisk", "-v", target.Path); !strings.Contains(said, "No problems found") {
		t.Errorf("sgdisk -v: %s", said)
	}
	isTheImageWithGUIDsOfItsOwn(t, target.Path, i.Disk)
}

// carrier is a disk with a static tk and an image on an ext4.
func carrier(t testing.TB, image string) vm.Disk {
	t.Helper()
	files, name := t.TempDir(), filepath.Join(t.TempDir(), "carrier.img")
	run(t, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(files, "tk"), "psyopsOS/cmd/tk")
	run(t, "cp", "--sparse=always", image, filepath.Join(files, "image"))
	run(t, "mke2fs", "-q", "-t", "ext4", "-d", files, name, "1G")
	return vm.Disk{ID: "carrier", Path: name, Bus: vm.SCSI}
}

// isTheImageWithGUIDsOfItsOwn compares what is on a disk with the image: the
// volumes byte for byte, the partition table but for its GUIDs.
func isTheImageWithGUIDsOfItsOwn(t testing.TB, path, image string) {
	t.Helper()
	guids := map[string]string{}
	for _, v := range layout.Volumes() {
		got, want := partition(t, path, v.Label), partition(t, image, v.Label)
		for _, p := range []mounts.Partition{got, want} {
			if guids[p.UUID] != "" {
				t.Errorf("%s has the GUID %s, and so has %s", v.Label, p.UUID, guids[p.UUID])
			}
			guids[p.UUID] = string(v.Label)
		}
		if got.Start != want.Start || got.Size != want.Size {
			t.Errorf("%s is at %d, %d bytes, in the image at %d, %d bytes", v.Label, got.Start, got.Size, want.Start, want.Size)
		}
		run(t, "cmp", "-n", fmt.Sprint(want.Size), "-i", fmt.Sprint(want.Start), path, image)
	}
	disk := func(path string) string {
		return regexp.MustCompile(`Disk identifier \(GUID\): (\S+)`).FindString(run(t, "sgdisk", "-p", path))
	}
	if got, image := disk(path), disk(image); got == "" || got == image {
		t.Errorf("the disk's identifier is %q, the image's %q", got, image)
	}
}
