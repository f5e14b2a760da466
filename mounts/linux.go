package mounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Linux is the real System. Root is put before every path that it is given or
// uses, so that a test can lay out a /sys of its own; empty or "/" on a machine.
type Linux struct{ Root string }

var _ System = Linux{}

func (l Linux) path(name string) string { return filepath.Join("/", l.Root, name) }

// Devices reads /sys/class/block, and the partition table of every disk that
// the kernel found partitions on.
func (l Linux) Devices() ([]Device, error) {
	entries, err := os.ReadDir(l.path("/sys/class/block"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list block devices: is sysfs mounted? %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return compareNames(a.Name(), b.Name()) })
	var devices []Device
	for _, entry := range entries {
		if !isStorage(entry.Name()) {
			continue
		}
		d, err := l.device(entry.Name())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // it was pulled out meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("block device %s: %w", entry.Name(), err)
		}
		devices = append(devices, d)
	}
	l.identify(devices)
	return devices, nil
}

// DeviceNames lists /sys/class/block.
func (l Linux) DeviceNames() ([]string, error) {
	dir, err := os.Open(l.path("/sys/class/block"))
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return slices.DeleteFunc(names, func(name string) bool { return !isStorage(name) }), err
}

func (l Linux) device(name string) (Device, error) {
	const class = "/sys/class/block/"
	real, err := os.Readlink(l.path(class + name))
	if err != nil {
		return Device{}, err
	}
	d := Device{Name: name, Disk: name, SectorSize: 512}
	dir := l.path(class + name)
	if number, err := attribute(dir, "partition"); err == nil {
		// A partition's folder lies in its disk's.
		d.Partition, d.Disk = int(number), filepath.Base(filepath.Dir(real))
	}
	sectors, err := attribute(dir, "size") // of 512 bytes, whatever the disk's are
	if err != nil {
		return Device{}, err
	}
	readOnly, err := attribute(dir, "ro")
	if err != nil {
		return Device{}, err
	}
	d.Size, d.ReadOnly = sectors*512, readOnly != 0
	disk := l.path(class + d.Disk)
	if removable, err := attribute(disk, "removable"); err == nil {
		d.Removable = removable != 0
	}
	if size, err := attribute(disk, "queue/logical_block_size"); err == nil {
		d.SectorSize = int(size)
	}
	return d, nil
}

// attribute reads a number from sysfs with three system calls. (os.ReadFile
// takes eight, since sysfs can be polled; every look at the disks reads five
// attributes of each.)
func attribute(dir, name string) (int64, error) {
	fd, err := unix.Open(dir+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	text := make([]byte, 32)
	n, err := unix.Read(fd, text)
	if err != nil {
		return 0, err
	}
	number, err := strconv.ParseInt(strings.TrimSpace(string(text[:n])), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("attribute %s: %w", name, err)
	}
	return number, nil
}

// identify fills in the UUIDs of the partition tables. A disk whose table
// cannot be read keeps its place in the list without them.
func (l Linux) identify(devices []Device) {
	for _, disk := range devices {
		if disk.Partition != 0 || !isPartitioned(devices, disk) {
			continue
		}
		table, err := l.readTable(disk)
		if err != nil {
			continue
		}
		for i := range devices {
			if devices[i].Disk == disk.Name {
				devices[i].DiskUUID = table.DiskUUID
				devices[i].PartUUID = table.partUUID(devices[i].Partition)
			}
		}
	}
}

func (l Linux) readTable(disk Device) (GPT, error) {
	block, err := l.Open(disk.Name)
	if err != nil {
		return GPT{}, err
	}
	defer block.Close()
	return ReadGPT(block, disk.Size, disk.SectorSize)
}

func (t GPT) partUUID(number int) string {
	for _, p := range t.Partitions {
		if p.Number == number {
			return p.UUID
		}
	}
	return ""
}

// Open opens /dev/NAME.
func (l Linux) Open(device string) (Block, error) {
	// sysfs writes "!" for a "/" in a name.
	return os.Open(l.path("/dev/" + strings.ReplaceAll(device, "!", "/")))
}

// Mounts reads /proc/self/mountinfo.
func (l Linux) Mounts() ([]MountPoint, error) {
	text, err := os.ReadFile(l.path("/proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return ParseMountInfo(string(text))
}

// MemAvailable reads /proc/meminfo.
func (l Linux) MemAvailable() (int64, error) {
	text, err := os.ReadFile(l.path("/proc/meminfo"))
	if err != nil {
		return 0, err
	}
	return ParseMemAvailable(string(text))
}

// compareNames orders names as people count: sda2 before sda10.
func compareNames(a, b string) int {
	for a != "" && b != "" {
		x, y := leadingNumber(a), leadingNumber(b)
		if x != "" && y != "" {
			if c := compareNumbers(x, y); c != 0 {
				return c
			}
			a, b = a[len(x):], b[len(y):]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func leadingNumber(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}

func compareNumbers(x, y string) int {
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(x, y)
}
