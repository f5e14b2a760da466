// Package mounts is the one boundary between psyopsOS and the kernel's
// storage: block devices, what is on them, mounts, loop devices, uevents, the
// copy into RAM and the hand-over to the new root.
//
// System is that boundary, Linux the real one, mountstest.Fake the one for
// tests. Everything else is a pure function over bytes (Probe, ReadGPT, the
// parsers), or built on a System.
//
// It reads /sys/class/block, /proc/self/mountinfo, /proc/meminfo and the first
// and last sectors of block devices. It writes to no disk: it changes the mount
// table and loop devices, fills the file that CopyFile is given, and Handover
// empties the initramfs, as PID 1 and nowhere else.
package mounts

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// A System is the kernel's storage. Names of devices are the kernel's, without
// /dev/: "vda3". Paths are absolute.
type System interface {
	// Devices lists the block devices that may hold a volume, sorted by name as
	// people count: no loop devices, RAM disks and floppy drives.
	Devices() ([]Device, error)
	// DeviceNames is the names of Devices alone, in no order: whether another
	// one came is seen without reading any.
	DeviceNames() ([]string, error)
	// Open opens a block device for reading.
	Open(device string) (Block, error)

	Mount(Mount) error
	// LoopMount mounts a file through a loop device that vanishes
	// with the mount, and gives the loop device's name.
	LoopMount(LoopMount) (device string, err error)
	Bind(from, to string) error
	// MoveMount moves a mount with all that is mounted below it.
	MoveMount(from, to string) error
	// MakePrivate ends the propagation of mounts to and from target and all
	// below: the kernel moves no mount out of a shared one.
	MakePrivate(target string) error
	Unmount(target string) error

	Mounts() ([]MountPoint, error)
	Loops() ([]Loop, error)
	// MemAvailable is the memory that can be had without swapping, in bytes.
	MemAvailable() (int64, error)
	// Uevents subscribes to the kernel's uevents from now on.
	Uevents() (Listener, error)
}

// A Block is an open block device.
type Block interface {
	io.ReaderAt
	io.Closer
}

// A Listener hears the uevents since its subscription.
type Listener interface {
	// Next waits for events and returns all that are there, oldest first.
	// ErrOverflow says that some were lost, the cause of ctx that it ended.
	Next(ctx context.Context) ([]Uevent, error)
	Close() error
}

// A Device is one block device.
type Device struct {
	Name       string // "vda3"
	Disk       string // the disk that a partition lies on: "vda"; of a disk, itself
	Partition  int    // its number, from 1; 0 of a disk
	PartUUID   string // from the GPT, lower case; empty where that cannot be read
	DiskUUID   string // of the GPT, likewise
	Size       int64  // bytes
	SectorSize int    // logical, bytes
	ReadOnly   bool
	Removable  bool
	Node       string // where it is not /dev/NAME: a volume in a file
}

// Path is the device's node.
func (d Device) Path() string {
	if d.Node != "" {
		return d.Node
	}
	return "/dev/" + d.Name
}

// A Mount is a mount to make.
type Mount struct {
	Source string // a device's path, or any word for what has no device
	Target string // made where it is missing
	Type   string
	Flags  Flags
	Data   string
}

// String is for errors: "/dev/vda3 on /mnt as ext4 (ro,noload)".
func (m Mount) String() string {
	s := fmt.Sprintf("%s on %s as %s", m.Source, m.Target, m.Type)
	options := m.Flags.words()
	if m.Data != "" {
		options = append(options, m.Data)
	}
	if len(options) > 0 {
		s += " (" + strings.Join(options, ",") + ")"
	}
	return s
}

// A LoopMount is a file, or a part of one, to mount through a loop device:
// read-only, unless it is Writable.
type LoopMount struct {
	File, Target, Type string
	Flags              Flags
	Data               string
	Offset, Size       int64 // a part of the file; Size 0: up to its end
	Writable           bool
	// Direct keeps the file's blocks out of the page cache, where they would
	// lie twice. It is for files on a disk, and where the file system cannot
	// do it the kernel reads through the cache.
	Direct bool
}

// A Loop is a loop device in use.
type Loop struct {
	Device  string // "loop0"
	File    string // as seen from the root
	Deleted bool   // the file has no name any more
}

// Flags are mount(2)'s.
type Flags uintptr

// The flags that psyopsOS uses; the numbers are the kernel's.
const (
	ReadOnly     Flags = 1 << 0
	NoSUID       Flags = 1 << 1
	NoDev        Flags = 1 << 2
	NoExec       Flags = 1 << 3
	Remount      Flags = 1 << 5
	NoATime      Flags = 1 << 10
	RelativeTime Flags = 1 << 21
)

func (f Flags) words() []string {
	var words []string
	for _, w := range []struct {
		flag Flags
		word string
	}{{ReadOnly, "ro"}, {NoSUID, "nosuid"}, {NoDev, "nodev"}, {NoExec, "noexec"},
		{Remount, "remount"}, {NoATime, "noatime"}, {RelativeTime, "relatime"}} {
		if f&w.flag != 0 {
			words = append(words, w.word)
		}
	}
	return words
}
