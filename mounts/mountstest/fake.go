// Package mountstest is a complete fake of the kernel's storage: devices whose
// contents lie in memory, a mount table, loop devices, uevents and a memory
// size. It reads and writes nothing outside itself.
package mountstest

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"

	"psyopsOS/mounts"
)

// A Fake is a System that a test arranges. Its zero value is a machine without
// disks and memory; New's has a root that is an initramfs.
type Fake struct {
	// Memory is what MemAvailable tells.
	Memory int64
	// Fail makes the method of that name fail: "Mount", "Devices", "Next", …
	Fail map[string]error
	// OnMount is called for each mount and loop mount before it is entered in
	// the table (of a loop mount with its file as source), to fill the target
	// or to fail for one of them.
	OnMount func(mounts.Mount) error

	mu        sync.Mutex
	devices   []device
	table     []mounts.MountPoint
	loops     []mounts.Loop
	listeners []*listener
	calls     []string
	ids       int
}

var _ mounts.System = (*Fake)(nil)

type device struct {
	mounts.Device
	content io.ReaderAt
	err     error // of opening it
}

// New is a Fake with memory, whose root is an initramfs.
func New() *Fake {
	f := &Fake{Memory: 1 << 30, Fail: map[string]error{}}
	f.enter(mounts.MountPoint{Path: "/", Root: "/", Type: "rootfs", Source: "rootfs", Options: "rw"})
	return f
}

// Plug adds a device. Size and Disk, where they are not set, follow from the
// content and the name.
func (f *Fake) Plug(d mounts.Device, content []byte) {
	if d.Size == 0 {
		d.Size = int64(len(content))
	}
	f.plug(device{Device: d, content: bytes.NewReader(content)})
}

// PlugReader adds a device whose content is read as it is.
func (f *Fake) PlugReader(d mounts.Device, content io.ReaderAt) {
	f.plug(device{Device: d, content: content})
}

// PlugBroken adds a device that cannot be opened.
func (f *Fake) PlugBroken(d mounts.Device, err error) { f.plug(device{Device: d, err: err}) }

func (f *Fake) plug(d device) {
	if d.Disk == "" {
		d.Disk = d.Name
	}
	if d.SectorSize == 0 {
		d.SectorSize = 512
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices = append(f.devices, d)
}

// Unplug takes a device and the partitions on it away, as a stick that is
// pulled out; mounts of it stay.
func (f *Fake) Unplug(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices = slices.DeleteFunc(f.devices, func(d device) bool { return d.Name == name || d.Disk == name })
}

// Calls tells what was called, in order: the method's name and its arguments.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Count is how often a method was called.
func (f *Fake) Count(method string) int {
	n := 0
	for _, call := range f.Calls() {
		if name, _, _ := strings.Cut(call, " "); name == method {
			n++
		}
	}
	return n
}

// called logs a call and gives the failure that the test asked for.
func (f *Fake) called(method string, arguments ...any) error {
	f.calls = append(f.calls, strings.TrimSuffix(fmt.Sprintln(append([]any{method}, arguments...)...), "\n"))
	if err := f.Fail[method]; err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(method), err)
	}
	return nil
}

// Devices implements mounts.System.
func (f *Fake) Devices() ([]mounts.Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("Devices"); err != nil {
		return nil, err
	}
	var devices []mounts.Device
	for _, d := range f.devices {
		devices = append(devices, d.Device)
	}
	return devices, nil
}

// DeviceNames implements mounts.System.
func (f *Fake) DeviceNames() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("DeviceNames"); err != nil {
		return nil, err
	}
	var names []string
	for _, d := range f.devices {
		names = append(names, d.Name)
	}
	return names, nil
}

// Open implements mounts.System.
func (f *Fake) Open(name string) (mounts.Block, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("Open", name); err != nil {
		return nil, err
	}
	for _, d := range f.devices {
		if d.Name == name {
			if d.err != nil {
				return nil, fmt.Errorf("open /dev/%s: %w", name, d.err)
			}
			return block{d.content}, nil
		}
	}
	return nil, fmt.Errorf("open /dev/%s: %w", name, syscall.ENOENT)
}

type block struct{ io.ReaderAt }

func (block) Close() error { return nil }

// MemAvailable implements mounts.System.
func (f *Fake) MemAvailable() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Memory, f.called("MemAvailable")
}
