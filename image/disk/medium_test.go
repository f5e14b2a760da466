package disk

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// machine has a stick sda with two partitions, as sysfs, procfs and udev show it.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{
		"sys/devices/usb/block/sda/dev": "8:0\n", "sys/devices/usb/block/sda/size": "61440000\n", "sys/devices/usb/block/sda/ro": "0\n",
		"sys/devices/usb/block/sda/queue/logical_block_size": "512\n", "sys/devices/usb/block/sda/device/model": "Flash Drive     \n",
		"sys/devices/usb/block/sda/sda1/dev": "8:1\n", "sys/devices/usb/block/sda/sda1/partition": "1\n",
		"sys/devices/usb/block/sda/sda2/dev": "8:2\n", "sys/devices/usb/block/sda/sda2/partition": "2\n",
		"run/udev/data/b8:0":  "S:disk/by-id/x\nE:ID_MODEL=other\nE:ID_SERIAL_SHORT=0123ABC\n",
		"proc/self/mountinfo": "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n",
		"proc/swaps":          "Filename Type Size Used Priority\n/dev/vda2 partition 1 0 -2\n",
	}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, name, []byte(content))
	}
	dev := filepath.Join(root, "sys/dev/block")
	if err := os.MkdirAll(dev, 0o755); err != nil {
		t.Fatal(err)
	}
	for number, to := range map[string]string{"8:0": "sda", "8:1": "sda/sda1"} {
		if err := os.Symlink("../../devices/usb/block/"+to, filepath.Join(dev, number)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestADiskTellsWhatItIs(t *testing.T) {
	got, err := lookAtDevice(machine(t, nil), "/dev/sda", "8:0")
	want := Medium{Path: "/dev/sda", Size: 61440000 * 512, Model: "Flash Drive", Serial: "0123ABC", Sector: 512}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got.String() != "/dev/sda: Flash Drive, serial 0123ABC, 29.30 GiB (31457280000 bytes)" {
		t.Errorf("it is shown as %s", got)
	}
	if err := got.Refuse(1 << 30); err != nil {
		t.Errorf("refused: %v", err)
	}
}

func TestASerialNumberWithoutUdev(t *testing.T) {
	root := machine(t, map[string]string{"run/udev/data/b8:0": "", "sys/devices/usb/block/sda/device/vpd_pg80": "\x00\x80\x00\x08WD-12345"})
	if got, err := lookAtDevice(root, "/dev/sda", "8:0"); err != nil || got.Serial != "WD-12345" {
		t.Errorf("got %q, %v", got.Serial, err)
	}
}

func TestDisksThatAreNotWrittenTo(t *testing.T) {
	const stick, mountinfo = "sys/devices/usb/block/sda/", "proc/self/mountinfo"
	for _, tt := range []struct {
		name, number string
		files        map[string]string
		want         string
	}{
		{"a partition", "8:1", nil, "is a partition"},
		{"a partition of it is mounted", "8:0", map[string]string{mountinfo: "22 1 8:2 / /media rw - vfat /dev/sda2 rw\n"}, "is mounted on /media"},
		{"it is mounted as a whole", "8:0", map[string]string{mountinfo: "22 1 8:0 / /media rw - vfat /dev/sda rw\n"}, "is mounted on /media"},
		{"it is mounted by another name", "8:0", map[string]string{mountinfo: "22 1 8:2 / /media rw - ext4 /dev/root rw\n"}, "is mounted on /media"},
		{"btrfs on it is mounted", "8:0", map[string]string{mountinfo: "22 1 0:44 / /media rw - btrfs /dev/sda1 rw\n"}, "is mounted on /media"},
		{"the root is on it", "8:0", map[string]string{mountinfo: "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"}, "this machine runs from"},
		{"it is swapped to", "8:0", map[string]string{"proc/swaps": "Filename\n/dev/sda2 partition 1 0 -2\n"}, "is swapped to: /dev/sda2"},
		{"a partition of it is encrypted and open", "8:0", map[string]string{stick + "sda1/holders/dm-0": ""}, "is in use by dm-0"},
		{"it is part of a RAID", "8:0", map[string]string{stick + "holders/md0": ""}, "is in use by md0"},
		{"a loop device is on it", "8:0", map[string]string{"sys/block/loop3/loop/backing_file": "/dev/sda\n"}, "is in use by loop3"},
		{"a loop device is on a partition of it", "8:0", map[string]string{"sys/block/loop4/loop/backing_file": "/dev/sda2\n"}, "is in use by loop4"},
		{"it is read-only", "8:0", map[string]string{stick + "ro": "1\n"}, "is read-only"},
		{"its sectors are large", "8:0", map[string]string{stick + "queue/logical_block_size": "4096\n"}, "sectors of 4096 bytes"},
		{"it is too small", "8:0", map[string]string{stick + "size": "2048\n"}, "has 1.0 MiB, the image 1.00 GiB"},
		{"its size is not told", "8:0", map[string]string{stick + "size": "\n"}, "its size"},
		{"the kernel knows it not", "8:16", nil, "the kernel knows no disk 8:16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := lookAtDevice(machine(t, tt.files), "/dev/sda", tt.number)
			if err == nil {
				err = m.Refuse(1 << 30)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAFileThatALoopDeviceShowsIsInUse(t *testing.T) {
	name := write(t, filepath.Join(t.TempDir(), "x"), make([]byte, 4*mebibyte))
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		t.Fatal(err)
	}
	root := machine(t, map[string]string{"sys/block/loop3/loop/backing_file": real + "\n"})
	m, err := LookAt(root, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Refuse(mebibyte); err == nil || !strings.Contains(err.Error(), "in use by loop3") {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"/dev/null", root} {
		if _, err := LookAt(root, path); err == nil || !strings.Contains(err.Error(), "neither a disk nor a file") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
