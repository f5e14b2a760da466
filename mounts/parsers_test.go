package mounts_test

import (
	"path"
	"reflect"
	"strings"
	"testing"

	"psyopsOS/mounts"
)

const initramfsMounts = `1 1 0:2 / / rw - rootfs rootfs rw,size=1k
20 1 0:18 / /proc rw,nosuid shared:5 - proc proc rw
21 1 254:3 / /mnt/psyopsOS/a ro,relatime master:1 - ext4 /dev/vda3 ro,norecovery
22 1 0:30 /sub\040dir /mnt/a\040b\134c rw - tmpfs tab\011here
`

func TestParseMountInfo(t *testing.T) {
	got, err := mounts.ParseMountInfo(initramfsMounts)
	want := []mounts.MountPoint{
		{ID: 1, Parent: 1, Device: "0:2", Root: "/", Path: "/", Options: "rw", Type: "rootfs", Source: "rootfs", SuperOptions: "rw,size=1k"},
		{ID: 20, Parent: 1, Device: "0:18", Root: "/", Path: "/proc", Options: "rw,nosuid", Shared: true, Type: "proc", Source: "proc", SuperOptions: "rw"},
		{ID: 21, Parent: 1, Device: "254:3", Root: "/", Path: "/mnt/psyopsOS/a", Options: "ro,relatime", Type: "ext4", Source: "/dev/vda3", SuperOptions: "ro,norecovery"},
		{ID: 22, Parent: 1, Device: "0:30", Root: "/sub dir", Path: `/mnt/a b\c`, Options: "rw", Type: "tmpfs", Source: "tab\there"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestParseMountInfoRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"a line without separator":  "1 1 0:2 / / rw rootfs rootfs rw",
		"too few fields":            "1 1 0:2 / / - rootfs rootfs rw",
		"a mount ID in words":       "one 1 0:2 / / rw - rootfs rootfs rw",
		"a parent in words":         "1 one 0:2 / / rw - rootfs rootfs rw",
		"a relative mount point":    "1 1 0:2 / mnt rw - rootfs rootfs rw",
		"nothing after the divider": "1 1 0:2 / / rw - rootfs",
	} {
		if got, err := mounts.ParseMountInfo(line); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: got %+v, %v; want an error that names the line", name, got, err)
		}
	}
}

func TestIsMounted(t *testing.T) {
	points, err := mounts.ParseMountInfo(initramfsMounts)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"/proc": true, "/proc/": true, "/": true, "/mnt": false, "/proc/1": false} {
		if got := mounts.IsMounted(points, name); got != want {
			t.Errorf("IsMounted(%s) = %v, want %v", name, got, want)
		}
	}
}

func FuzzParseMountInfo(f *testing.F) {
	f.Add(initramfsMounts)
	f.Add(`1 1 0:2 / /\1 rw - a b`)
	f.Fuzz(func(t *testing.T, text string) {
		points, err := mounts.ParseMountInfo(text)
		if err != nil && points != nil {
			t.Error("both points and an error")
		}
		for _, p := range points {
			if !path.IsAbs(p.Path) {
				t.Errorf("mount point %q", p.Path)
			}
		}
		// Whatever a table says, planning on it ends.
		_, _, _, _, _ = mounts.PlanMoves(points, "/newroot")
	})
}

func TestParseMemAvailable(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       int64
		wrong      bool
	}{
		{name: "a real one", text: "MemTotal:         480288 kB\nMemFree:          401064 kB\nMemAvailable:     441216 kB\nBuffers: 0 kB\n", want: 441216 << 10},
		{name: "the last line without newline", text: "MemAvailable: 1 kB", want: 1024},
		{name: "none", text: "MemTotal: 480288 kB\n", wrong: true},
		{name: "no number", text: "MemAvailable: x kB\n", wrong: true},
		{name: "negative", text: "MemAvailable: -1 kB\n", wrong: true},
		{name: "another unit", text: "MemAvailable: 1 MB\n", wrong: true},
		{name: "more than there can be", text: "MemAvailable: 9223372036854775807 kB\n", wrong: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := mounts.ParseMemAvailable(test.text); got != test.want || (err != nil) != test.wrong {
				t.Errorf("got %d, %v; want %d, error %v", got, err, test.want, test.wrong)
			}
		})
	}
}

func FuzzParseMemAvailable(f *testing.F) {
	f.Add("MemAvailable:     441216 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := mounts.ParseMemAvailable(text); got < 0 || err != nil && got != 0 {
			t.Errorf("got %d, %v", got, err)
		}
	})
}

const diskAdded = "add@/devices/pci0000:00/0000:00:03.0/virtio1/block/vda/vda1\x00ACTION=add\x00" +
	"DEVPATH=/devices/pci0000:00/0000:00:03.0/virtio1/block/vda/vda1\x00SUBSYSTEM=block\x00MAJOR=254\x00MINOR=1\x00DEVNAME=vda1\x00DEVTYPE=partition\x00PARTN=1\x00SEQNUM=1234\x00"

func TestParseUevent(t *testing.T) {
	const devpath = "/devices/pci0000:00/0000:00:03.0/virtio1/block/vda/vda1"
	got, err := mounts.ParseUevent([]byte(diskAdded))
	want := mounts.Uevent{Action: "add", Devpath: devpath, Subsystem: "block", Devname: "vda1", Vars: map[string]string{
		"ACTION": "add", "DEVPATH": devpath, "SUBSYSTEM": "block", "MAJOR": "254", "MINOR": "1", "DEVNAME": "vda1",
		"DEVTYPE": "partition", "PARTN": "1", "SEQNUM": "1234"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	got, err = mounts.ParseUevent([]byte("add@/devices/x\x00SUBSYSTEM=pci\x00MODALIAS=pci:v00001AF4d=odd\x00word\x00=\x00"))
	if err != nil || got.Modalias != "pci:v00001AF4d=odd" || len(got.Vars) != 2 {
		t.Errorf("got %+v, %v; want a modalias and two words", got, err)
	}
}

func TestParseUeventRefuses(t *testing.T) {
	for name, message := range map[string]string{
		"nothing":         "",
		"udev's own form": "libudev\x00\xfe\xed\xca\xfe",
		"no action":       "@/devices/x\x00",
		"no path":         "add@\x00SUBSYSTEM=block",
	} {
		if got, err := mounts.ParseUevent([]byte(message)); err == nil {
			t.Errorf("%s: got %+v and no error", name, got)
		}
	}
}

func TestBringsStorage(t *testing.T) {
	for _, test := range []struct {
		name                       string
		action, subsystem, devname string
		want                       bool
	}{
		{"a partition came", "add", "block", "sda1", true},
		{"a medium was changed", "change", "block", "sr0", true},
		{"a disk went", "remove", "block", "sda", false},
		{"a loop device, which we may have made", "change", "block", "loop0", false},
		{"a RAM disk", "add", "block", "ram0", false},
		{"a compressed RAM disk", "add", "block", "zram0", false},
		{"a network card", "add", "net", "", false},
		{"a USB device", "add", "usb", "bus/usb/001/002", false},
		{"a disk whose name only begins like one of those", "add", "block", "ramdisk", true},
	} {
		u := mounts.Uevent{Action: test.action, Subsystem: test.subsystem, Devname: test.devname}
		if got := u.BringsStorage(); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add([]byte(diskAdded))
	f.Add([]byte("libudev\x00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		u, err := mounts.ParseUevent(message)
		if err == nil && (u.Action == "" || !path.IsAbs(u.Devpath) || u.Vars["SUBSYSTEM"] != u.Subsystem) {
			t.Errorf("got %+v", u)
		}
	})
}
