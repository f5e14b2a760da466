package bootstate

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"psyopsOS/layout"
)

// blksszget asks a block device for its logical sector size.
const blksszget = 0x1268

// Direct is a partition, or the image of one, opened so that what is read
// comes from the medium and what is written is on it when Write returns.
type Direct struct {
	file   *os.File
	sector int
}

// OpenDirect opens a partition for single-sector reads and writes.
func OpenDirect(path string, writable bool) (*Direct, error) {
	flags := os.O_RDONLY | syscall.O_DIRECT
	if writable {
		flags = os.O_RDWR | syscall.O_DIRECT | syscall.O_SYNC
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("open past the page cache: %w", err)
	}
	d := &Direct{f, layout.EnvironmentBlock}
	info, err := f.Stat()
	if err == nil && info.Mode()&os.ModeDevice != 0 {
		d.sector, err = sectorSize(f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("sector size of %s: %w", path, err)
	}
	return d, nil
}

func sectorSize(f *os.File) (int, error) {
	var size int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), blksszget, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, os.NewSyscallError("ioctl BLKSSZGET", errno)
	}
	return int(size), nil
}

// SectorSize is the device's logical sector size.
func (d *Direct) SectorSize() int { return d.sector }

// Close closes the device.
func (d *Direct) Close() error { return d.file.Close() }

// pageSize is an alignment that satisfies every device.
const pageSize = 4096

// aligned is a buffer of n bytes on a page's boundary.
func aligned(n int) []byte {
	b := make([]byte, n+pageSize)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (pageSize - 1))
	return b[skip : skip+n : skip+n]
}

// ReadAt reads any range, by whole sectors around it.
func (d *Direct) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read %s: offset %d", d.file.Name(), offset)
	}
	before := int(offset % int64(d.sector))
	n := (before + len(p) + d.sector - 1) / d.sector * d.sector
	buffer := aligned(n)
	got, err := d.file.ReadAt(buffer, offset-int64(before))
	copied := 0
	if got > before {
		copied = copy(p, buffer[before:got])
	}
	if copied == len(p) {
		return copied, nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return copied, err
}

// WriteAt writes whole sectors.
func (d *Direct) WriteAt(p []byte, offset int64) (int, error) {
	if len(p)%d.sector != 0 || offset%int64(d.sector) != 0 {
		return 0, fmt.Errorf("write %s: %d bytes at %d are not whole sectors of %d", d.file.Name(), len(p), offset, d.sector)
	}
	buffer := aligned(len(p))
	copy(buffer, p)
	return d.file.WriteAt(buffer, offset)
}
