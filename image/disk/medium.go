package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"psyopsOS/mounts"
	"psyopsOS/step"
)

// A Medium is what an image can be written to: a disk, or a file that stands
// for one.
type Medium struct {
	Path   string // as the user called it
	File   bool
	Size   int64
	Model  string
	Serial string
	Sector int64

	PartOf   string   // the disk, where Path is a partition of it
	ReadOnly bool     // the kernel lets nobody write
	Root     bool     // this machine's root lies on it
	Mounted  []string // where its file systems are seen
	Swap     []string // its volumes that are swapped to
	Holders  []string // what the kernel has made of it: device mapper, RAID, loop
}

// LookAt reads what the kernel knows of a disk below root, which is / but for
// tests. It opens nothing.
func LookAt(root, path string) (Medium, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Medium{}, err
	}
	number := info.Sys().(*syscall.Stat_t).Rdev
	switch {
	case info.Mode().IsRegular():
		m := Medium{Path: path, File: true, Size: info.Size(), Sector: sector}
		m.Holders, err = loopsOf(root, path)
		return m, err
	case info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0:
		return Medium{}, fmt.Errorf("%s is neither a disk nor a file: %s", path, info.Mode())
	}
	return lookAtDevice(root, path, fmt.Sprintf("%d:%d", unix.Major(number), unix.Minor(number)))
}

// loopsOf are the loop devices whose disk is the file or device.
func loopsOf(root, path string) (loops []string, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	names, err := filepath.Glob(filepath.Join(root, "sys/block/loop*/loop/backing_file"))
	for _, name := range names {
		if text(name) == path {
			loops = append(loops, filepath.Base(filepath.Dir(filepath.Dir(name))))
		}
	}
	return loops, err
}

// lookAtDevice reads sysfs, of which a disk's folder holds those of its
// partitions, beside mountinfo, swaps and what udev knows.
func lookAtDevice(root, path, number string) (Medium, error) {
	m := Medium{Path: path, Sector: sector}
	dir, err := filepath.EvalSymlinks(filepath.Join(root, "sys/dev/block", number))
	if err != nil {
		return m, fmt.Errorf("%s: the kernel knows no disk %s: %w", path, number, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		m.PartOf = "/dev/" + filepath.Base(filepath.Dir(dir))
		return m, nil
	}
	sectors, err := strconv.ParseInt(text(filepath.Join(dir, "size")), 10, 64)
	if err != nil {
		return m, fmt.Errorf("%s: its size: %w", path, err)
	}
	m.Size = sectors * 512 // the kernel counts so, whatever the disk's sectors are
	if n, err := strconv.ParseInt(text(filepath.Join(dir, "queue/logical_block_size")), 10, 64); err == nil {
		m.Sector = n
	}
	m.ReadOnly = text(filepath.Join(dir, "ro")) == "1"
	udev := text(filepath.Join(root, "run/udev/data", "b"+number))
	m.Model = firstText(text(filepath.Join(dir, "device/model")), udevValue(udev, "ID_MODEL"))
	m.Serial = firstText(text(filepath.Join(dir, "device/serial")), text(filepath.Join(dir, "serial")), unitSerial(dir), udevValue(udev, "ID_SERIAL_SHORT"), udevValue(udev, "ID_SERIAL"))
	return m, m.lookAtUse(root, dir)
}

// unitSerial is what a SCSI or SATA disk answers where nobody runs udev: a page
// with a head of four bytes.
func unitSerial(dir string) string {
	if page := text(filepath.Join(dir, "device/vpd_pg80")); len(page) > 4 {
		return strings.TrimSpace(page[4:])
	}
	return ""
}

// lookAtUse finds out who uses the disk in dir or a partition of it.
func (m *Medium) lookAtUse(root, dir string) error {
	parts, err := filepath.Glob(filepath.Join(dir, "*", "partition"))
	if err != nil {
		return err
	}
	numbers, names := []string{text(filepath.Join(dir, "dev"))}, []string{filepath.Base(dir)}
	for _, p := range parts {
		numbers, names = append(numbers, text(filepath.Join(filepath.Dir(p), "dev"))), append(names, filepath.Base(filepath.Dir(p)))
	}
	for i := range names {
		// A loop device on a disk is no holder to the kernel, and does not keep
		// O_EXCL from succeeding.
		loops, err := loopsOf(root, "/dev/"+names[i])
		if err != nil {
			return err
		}
		m.Holders = append(m.Holders, loops...)
		folder := dir
		if i > 0 {
			folder = filepath.Join(dir, names[i])
		}
		holders, err := os.ReadDir(filepath.Join(folder, "holders"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, h := range holders {
			m.Holders = append(m.Holders, h.Name())
		}
	}
	mountinfo, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return err
	}
	points, err := mounts.ParseMountInfo(string(mountinfo))
	if err != nil {
		return err
	}
	for _, p := range points {
		// btrfs has a number of its own, and tells its device by name.
		if slices.Contains(numbers, p.Device) || slices.Contains(names, strings.TrimPrefix(p.Source, "/dev/")) {
			m.Mounted = append(m.Mounted, p.Path)
			m.Root = m.Root || p.Path == "/"
		}
	}
	for line := range strings.Lines(text(filepath.Join(root, "proc/swaps"))) {
		if name, _, _ := strings.Cut(line, " "); slices.Contains(names, strings.TrimPrefix(name, "/dev/")) {
			m.Swap = append(m.Swap, name)
		}
	}
	return nil
}

// Refuse is why an image of size bytes must not be written to m, or nil.
func (m Medium) Refuse(size int64) error {
	switch {
	case m.PartOf != "":
		return step.WithHint(fmt.Errorf("%s is a partition", m.Path), "an image is a whole disk's: %s", m.PartOf)
	case m.Root:
		return fmt.Errorf("%s is the disk that this machine runs from", m.Path)
	case len(m.Mounted) > 0:
		return step.WithHint(fmt.Errorf("%s is mounted on %s", m.Path, strings.Join(m.Mounted, ", ")), "umount %s, if it is the one", m.Mounted[0])
	case len(m.Swap) > 0:
		return step.WithHint(fmt.Errorf("%s is swapped to: %s", m.Path, strings.Join(m.Swap, ", ")), "swapoff %s, if it is the one", m.Swap[0])
	case len(m.Holders) > 0:
		return fmt.Errorf("%s is in use by %s", m.Path, strings.Join(m.Holders, ", "))
	case m.ReadOnly:
		return step.WithHint(fmt.Errorf("%s is read-only", m.Path), "is there a switch on the medium?")
	case m.Sector != sector:
		return fmt.Errorf("%s has sectors of %d bytes; an image's partition table is for %d", m.Path, m.Sector, sector)
	case m.Size%sector != 0:
		return fmt.Errorf("%s has %d bytes, which no disk has", m.Path, m.Size)
	case m.Size < size:
		return fmt.Errorf("%s has %s, the image %s", m.Path, step.Bytes(m.Size), step.Bytes(size))
	}
	return nil
}

// String is what tells one disk from another.
func (m Medium) String() string {
	what := "a file"
	if !m.File {
		what = firstText(m.Model, "a disk that tells no model") + ", serial " + firstText(m.Serial, "not told")
	}
	return fmt.Sprintf("%s: %s, %s (%d bytes)", m.Path, what, step.Bytes(m.Size), m.Size)
}

// text is a small file's, without blanks around it; empty where it cannot be
// read.
func text(name string) string {
	content, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

func udevValue(data, key string) string {
	for line := range strings.Lines(data) {
		if value, ok := strings.CutPrefix(line, "E:"+key+"="); ok {
			return strings.TrimSpace(strings.ReplaceAll(value, "_", " "))
		}
	}
	return ""
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
