package mounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LoopMount sets up a loop device and mounts it. The kernel clears the device
// when the mount goes, or at once where it fails. (u-root's loop has no flags,
// so its devices stay for ever; LOOP_CONFIGURE sets file and flags in one go,
// so nobody sees a writable or half-made device.)
func (l Linux) LoopMount(m LoopMount) (string, error) {
	device, err := l.attach(m)
	if err != nil {
		return "", fmt.Errorf("loop mount %s: %w", m.File, err)
	}
	defer device.Close()
	name := filepath.Base(device.Name())
	if err := l.Mount(Mount{device.Name(), m.Target, m.Type, m.flags(), m.Data}); err != nil {
		return "", fmt.Errorf("loop mount %s: %w", m.File, err)
	}
	return name, nil
}

func (m LoopMount) flags() Flags {
	if m.Writable {
		return m.Flags
	}
	return m.Flags | ReadOnly
}

// mode is how file and device are opened: the kernel makes a device read-only
// where either is.
func (m LoopMount) mode() int {
	if m.Writable {
		return os.O_RDWR
	}
	return os.O_RDONLY
}

// maxLoopTries bounds how often another process may snatch the free device
// that the kernel named.
const maxLoopTries = 64

func (l Linux) attach(m LoopMount) (*os.File, error) {
	file, err := os.OpenFile(l.path(m.File), m.mode(), 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	control, err := os.OpenFile(l.path("/dev/loop-control"), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w (is the loop module loaded?)", err)
	}
	defer control.Close()
	for range maxLoopTries {
		device, err := l.attachFree(control, file, m)
		if !errors.Is(err, unix.EBUSY) {
			return device, err
		}
	}
	return nil, fmt.Errorf("no free loop device in %d tries: %w", maxLoopTries, unix.EBUSY)
}

func (l Linux) attachFree(control, file *os.File, m LoopMount) (*os.File, error) {
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("find a free loop device: %w", err)
	}
	device, err := l.openLoop(number, m.mode())
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(file.Fd())}
	config.Info.Offset, config.Info.Sizelimit = uint64(m.Offset), uint64(m.Size)
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	if !m.Writable {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	if m.Direct {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], m.File)
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		device.Close()
		return nil, fmt.Errorf("set up %s: %w", device.Name(), err)
	}
	return device, nil
}

// openLoop opens the node of a loop device. devtmpfs has it by the time that
// the kernel names the device; in any other /dev it is made here.
func (l Linux) openLoop(number, mode int) (*os.File, error) {
	node := l.path(fmt.Sprintf("/dev/loop%d", number))
	device, err := os.OpenFile(node, mode, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return device, err
	}
	text, err := os.ReadFile(l.path(fmt.Sprintf("/sys/class/block/loop%d/dev", number)))
	if err != nil {
		return nil, err
	}
	numbers, err := deviceNumber(string(text))
	if err != nil {
		return nil, fmt.Errorf("device number of %s %q: %w", node, text, err)
	}
	err = unix.Mknod(node, unix.S_IFBLK|0o600, int(numbers))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make %s: %w", node, err)
	}
	return os.OpenFile(node, mode, 0)
}

// deviceNumber reads MAJOR:MINOR. (fmt.Sscanf, used for nothing else in PID 1,
// costs it 18 KiB.)
func deviceNumber(text string) (uint64, error) {
	left, right, _ := strings.Cut(strings.TrimSpace(text), ":")
	major, err := strconv.ParseUint(left, 10, 32)
	if err != nil {
		return 0, err
	}
	minor, err := strconv.ParseUint(right, 10, 32)
	return unix.Mkdev(uint32(major), uint32(minor)), err
}

// Loops reads what sysfs tells of each loop device.
func (l Linux) Loops() ([]Loop, error) {
	files, err := filepath.Glob(l.path("/sys/class/block/loop*/loop/backing_file"))
	if err != nil {
		return nil, err
	}
	var loops []Loop
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it was cleared meanwhile
		}
		loop := Loop{Device: filepath.Base(filepath.Dir(filepath.Dir(name)))}
		loop.File, loop.Deleted = strings.CutSuffix(strings.TrimSuffix(string(text), "\n"), " (deleted)")
		loops = append(loops, loop)
	}
	return loops, nil
}
