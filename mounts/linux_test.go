package mounts_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/mounts"
)

// machine lays out the files of a machine below a root of its own. A name that
// ends in "@" is a link.
func machine(t *testing.T, files map[string]string) mounts.Linux {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		link, isLink := strings.CutSuffix(name, "@")
		full := filepath.Join(root, link)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if isLink {
			err = errors.Join(err, os.Symlink(content, full))
		} else {
			err = errors.Join(err, os.WriteFile(full, []byte(content), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return mounts.Linux{Root: root}
}

// withDisk is a disk with partitions 1 and 3 as its GPT has them, a CD drive
// and an idle loop device.
func withDisk(t *testing.T) mounts.Linux {
	const disk, cd, loop = "/sys/devices/pci0/block/vda", "/sys/devices/pci1/block/sr0", "/sys/devices/virtual/block/loop0"
	return machine(t, map[string]string{
		disk + "/size": "16384\n", disk + "/ro": "0\n", disk + "/removable": "1\n", disk + "/queue/logical_block_size": "512\n",
		disk + "/vda1/size": "2048\n", disk + "/vda1/ro": "0\n", disk + "/vda1/partition": "1\n",
		disk + "/vda3/size": "4096\n", disk + "/vda3/ro": "1\n", disk + "/vda3/partition": "3\n",
		cd + "/size": "2097151\n", cd + "/ro": "0\n", cd + "/removable": "1\n", cd + "/queue/logical_block_size": "2048\n",
		loop + "/size": "0\n", loop + "/ro": "0\n", loop + "/removable": "0\n",
		"/sys/class/block/vda@":   "../../devices/pci0/block/vda",
		"/sys/class/block/vda3@":  "../../devices/pci0/block/vda/vda3",
		"/sys/class/block/vda1@":  "../../devices/pci0/block/vda/vda1",
		"/sys/class/block/sr0@":   "../../devices/pci1/block/sr0",
		"/sys/class/block/loop0@": "../../devices/virtual/block/loop0",
		"/sys/class/block/gone@":  "../../devices/pulled/out",
		"/dev/vda":                string(sgdisk(t)),
	})
}

func TestDevicesAreReadFromSysfsAndTheirPartitionTables(t *testing.T) {
	got, err := withDisk(t).Devices()
	want := []mounts.Device{
		{Name: "sr0", Disk: "sr0", Size: 2097151 * 512, SectorSize: 2048, Removable: true},
		{Name: "vda", Disk: "vda", DiskUUID: diskID, Size: 8 * mib, SectorSize: 512, Removable: true},
		{Name: "vda1", Disk: "vda", Partition: 1, PartUUID: "deadbeef-0000-1111-2222-333333333333", DiskUUID: diskID, Size: 1 * mib, SectorSize: 512, Removable: true},
		{Name: "vda3", Disk: "vda", Partition: 3, PartUUID: sideID, DiskUUID: diskID, Size: 2 * mib, SectorSize: 512, ReadOnly: true, Removable: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestTheNamesOfDevicesAreThoseOfTheDevices(t *testing.T) {
	sys := withDisk(t)
	devices, err := sys.Devices()
	names, errNames := sys.DeviceNames()
	if err != nil || errNames != nil {
		t.Fatal(err, errNames)
	}
	want := []string{"gone"} // it has a name, and was pulled out when it was looked at
	for _, d := range devices {
		want = append(want, d.Name)
	}
	slices.Sort(names)
	if slices.Sort(want); !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if names, err := machine(t, nil).DeviceNames(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without sysfs: %v, %v", names, err)
	}
}

func TestDevicesWithoutAReadableTableAreStillThere(t *testing.T) {
	sys := withDisk(t)
	if err := os.Remove(filepath.Join(sys.Root, "dev/vda")); err != nil {
		t.Fatal(err)
	}
	devices, err := sys.Devices()
	if err != nil || len(devices) != 4 || devices[3].PartUUID != "" || devices[3].Name != "vda3" {
		t.Errorf("got %+v, %v", devices, err)
	}
}

func TestDevicesSaysWhenSysfsIsNotMounted(t *testing.T) {
	if got, err := (machine(t, nil)).Devices(); err == nil || !strings.Contains(err.Error(), "is sysfs mounted?") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDevicesSaysWhichAttributeIsOdd(t *testing.T) {
	sys := machine(t, map[string]string{"/sys/devices/vda/size": "many\n", "/sys/class/block/vda@": "../../devices/vda"})
	if got, err := sys.Devices(); err == nil || !strings.Contains(err.Error(), "vda: attribute size") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestNamesAreOrderedAsPeopleCount(t *testing.T) {
	names := []string{"sdb", "sda10", "sda2", "sda", "nvme0n1p1", "nvme10n1", "nvme2n1", "nvme0n1", "mmcblk0p2"}
	want := []string{"mmcblk0p2", "nvme0n1", "nvme0n1p1", "nvme2n1", "nvme10n1", "sda", "sda2", "sda10", "sdb"}
	if slices.SortFunc(names, mounts.CompareNames); !slices.Equal(names, want) {
		t.Errorf("got  %v\nwant %v", names, want)
	}
}

func TestOpenReadsTheNode(t *testing.T) {
	sys := machine(t, map[string]string{"/dev/cciss/c0d0": "contents"})
	block, err := sys.Open("cciss!c0d0")
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	got := make([]byte, 8)
	if _, err := block.ReadAt(got, 0); err != nil || string(got) != "contents" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := sys.Open("vdz"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a device that is not there: got %v", err)
	}
}

func TestLoopsTellTheirFiles(t *testing.T) {
	sys := machine(t, map[string]string{
		"/sys/class/block/loop0/loop/backing_file": "/media/psyopsOS/squashfs\n",
		"/sys/class/block/loop1/loop/backing_file": "/media/psyopsOS/mod loop (deleted)\n",
		"/sys/class/block/loop2/size":              "0\n",
	})
	got, err := sys.Loops()
	want := []mounts.Loop{{Device: "loop0", File: "/media/psyopsOS/squashfs"}, {Device: "loop1", File: "/media/psyopsOS/mod loop", Deleted: true}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestLoopMountSaysWhatIsMissing(t *testing.T) {
	sys := machine(t, map[string]string{"/squashfs": "x"})
	m := mounts.LoopMount{File: "/squashfs", Target: "/mnt", Type: "squashfs"}
	if _, err := sys.LoopMount(m); err == nil || !strings.Contains(err.Error(), "is the loop module loaded?") {
		t.Errorf("without loop-control: got %v", err)
	}
	m.File = "/modloop"
	if _, err := sys.LoopMount(m); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/modloop") {
		t.Errorf("without the file: got %v", err)
	}
}

func TestMountsAndMemoryAreReadFromProc(t *testing.T) {
	sys := machine(t, map[string]string{"/proc/self/mountinfo": initramfsMounts, "/proc/meminfo": "MemAvailable: 2 kB\n"})
	if got, err := sys.Mounts(); err != nil || len(got) != 4 {
		t.Errorf("Mounts: got %+v, %v; want 4", got, err)
	}
	if got, err := sys.MemAvailable(); err != nil || got != 2048 {
		t.Errorf("MemAvailable: got %d, %v; want 2048", got, err)
	}
}

func TestTheRealUeventSocketEndsWithItsContext(t *testing.T) {
	events, err := (mounts.Linux{}).Uevents()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	tired := errors.New("tired")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, tired)
	defer cancel()
	// The machine that runs the test may have events of its own.
	for err == nil {
		_, err = events.Next(ctx)
	}
	if !errors.Is(err, tired) {
		t.Errorf("got %v, want %v", err, tired)
	}
	if _, err := events.Next(ctx); !errors.Is(err, tired) {
		t.Errorf("after the end: got %v, want %v", err, tired)
	}
}

func TestAMountIsToldAsAPersonWouldTypeIt(t *testing.T) {
	for _, test := range []struct {
		mount mounts.Mount
		want  string
	}{
		{mounts.Mount{Source: "/dev/vda3", Target: "/mnt", Type: "ext4", Flags: mounts.ReadOnly, Data: "noload"}, "/dev/vda3 on /mnt as ext4 (ro,noload)"},
		{mounts.Mount{Source: "proc", Target: "/proc", Type: "proc", Flags: mounts.NoSUID | mounts.NoDev | mounts.NoExec}, "proc on /proc as proc (nosuid,nodev,noexec)"},
		{mounts.Mount{Source: "run", Target: "/run", Type: "tmpfs"}, "run on /run as tmpfs"},
	} {
		if got := test.mount.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// The kernel makes a loop device read-only that was opened so, whatever its
// flags say, and the mount of it fails with "permission denied".
func TestALoopDeviceIsOpenedForWhatTheMountWants(t *testing.T) {
	sys := machine(t, map[string]string{"/dev/loop3": "x"})
	for _, writable := range []bool{false, true} {
		device, err := sys.OpenLoop(3, mounts.LoopMount{Writable: writable})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := device.WriteString("y"); (err == nil) != writable {
			t.Errorf("writable %t: a write gives %v", writable, err)
		}
		device.Close()
	}
}

func TestADeviceNumberIsMajorAndMinor(t *testing.T) {
	if got, err := mounts.DeviceNumber("7:300\n"); err != nil || got != unix.Mkdev(7, 300) {
		t.Errorf("got %#x, %v", got, err)
	}
	for _, text := range []string{"", "7", "7:", ":1", "7:x", "-1:1", "7:4294967296"} {
		if got, err := mounts.DeviceNumber(text); err == nil {
			t.Errorf("%q: got %#x", text, got)
		}
	}
}
