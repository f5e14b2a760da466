package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"psyopsOS/step"
)

// Burn is an image's way onto a medium, in steps. The image's first MiB, with
// the partition table, comes last: a medium that was not finished, or does not
// hold what was written, is an empty disk and not half a system.
type Burn struct {
	Image  string
	Medium Medium
	Random io.Reader // for the medium's own GUIDs

	image, out *os.File
	size       int64 // of the image
	buffered   bool  // the file system knows no O_DIRECT
}

// OpenImage reads what Burn wants to know of an image, and refuses what is none.
func OpenImage(name string) (size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var head [2 * sector]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[sector:sector+8]) != "EFI PART" {
		return 0, step.WithHint(fmt.Errorf("%s is no disk image: it has no partition table", name), "`tk mkimage diskimg` makes one")
	}
	if info.Size()%sector != 0 || info.Size() < 2*mebibyte {
		return 0, fmt.Errorf("%s has %d bytes, which no disk has", name, info.Size())
	}
	return info.Size(), nil
}

// Steps write and read back.
func (b *Burn) Steps() []step.Step {
	return []step.Step{
		{Name: "open " + b.Medium.Path, Do: func(context.Context, *step.Reporter) error { return b.open() }},
		{Name: "write to " + b.Medium.Path, Do: func(ctx context.Context, r *step.Reporter) error { return b.write(ctx, r.Progress) }},
		{Name: "read back", Do: b.readBack},
		{Name: "write the partition table, with GUIDs of its own", Do: func(context.Context, *step.Reporter) error { return b.finish() }},
	}
}

// open takes the medium for us alone. The kernel refuses a disk that is in use
// in any way, also in one that Refuse did not see.
func (b *Burn) open() (err error) {
	if b.size, err = OpenImage(b.Image); err != nil {
		return err
	}
	if err := b.Medium.Refuse(b.size); err != nil {
		return err
	}
	if b.image, err = os.Open(b.Image); err != nil {
		return err
	}
	flags := os.O_RDWR
	if !b.Medium.File {
		flags |= unix.O_EXCL
	}
	b.out, err = os.OpenFile(b.Medium.Path, flags, 0)
	if errors.Is(err, unix.EBUSY) {
		return step.WithHint(fmt.Errorf("%s is in use: %w", b.Medium.Path, err), "lsblk shows by what")
	}
	if err != nil {
		return err
	}
	// It may be another one than was looked at: sticks are plugged and pulled.
	if size, err := b.out.Seek(0, io.SeekEnd); err != nil || size != b.Medium.Size {
		return errors.Join(err, fmt.Errorf("%s has %d bytes now, and had %d", b.Medium.Path, size, b.Medium.Size))
	}
	if a, errA := b.image.Stat(); errA == nil {
		if o, errO := b.out.Stat(); errO == nil && os.SameFile(a, o) {
			return fmt.Errorf("%s is the image itself", b.Medium.Path)
		}
	}
	return nil
}

// Close lets go of medium and image.
func (b *Burn) Close() error {
	var err error
	for _, f := range []*os.File{b.image, b.out} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// write empties the ends, where partition tables are, and writes all behind the
// first MiB. Where the image has holes the medium is made zero, for file systems
// count on that, and it may have held something else.
func (b *Burn) write(ctx context.Context, progress Progress) error {
	for _, at := range []int64{0, b.Medium.Size - mebibyte} {
		if err := b.zero(at, mebibyte); err != nil {
			return err
		}
	}
	if err := b.out.Sync(); err != nil { // an old table is gone before anything else is
		return fmt.Errorf("write the first bytes: %w", err)
	}
	err := b.pieces(ctx, progress, func(at int64, p []byte, hole int64) error {
		if p == nil {
			return b.zero(at, hole)
		}
		_, err := b.out.WriteAt(p, at)
		return err
	})
	if err != nil {
		return err
	}
	return b.out.Sync()
}

// pieces gives the image from its second MiB on to do: p is data, or nil for a
// hole.
func (b *Burn) pieces(ctx context.Context, progress Progress, do func(at int64, p []byte, hole int64) error) error {
	const most = 64 * mebibyte // of a hole at once, so that it can be interrupted
	buffer := make([]byte, mebibyte)
	for at := int64(mebibyte); at < b.size; {
		data, end, err := nextData(b.image, at, b.size)
		if err != nil {
			return err
		}
		// Where data begins within a block that we write whole, the rest is read
		// as the zeroes that it is.
		data -= data % mebibyte
		for at < end {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if at < data {
				n := min(data-at, most)
				if err := do(at, nil, n); err != nil {
					return fmt.Errorf("at byte %d: %w", at, err)
				}
				at += n
			} else {
				p := buffer[:min(int64(len(buffer)), b.size-at)]
				if _, err := b.image.ReadAt(p, at); err != nil {
					return fmt.Errorf("read %s at byte %d: %w", b.Image, at, err)
				}
				if err := do(at, p, 0); err != nil {
					return fmt.Errorf("at byte %d: %w", at, err)
				}
				at += int64(len(p))
			}
			progress.tell(at, b.size)
		}
	}
	return nil
}

// zero makes n bytes zero, by the medium's own means where it has them: a stick
// of 64 GB need not be sent zeroes.
func (b *Burn) zero(at, n int64) error {
	if b.Medium.File {
		if unix.Fallocate(int(b.out.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n) == nil {
			return nil
		}
	} else {
		// The kernel writes the zeroes where the disk cannot, and makes sure that
		// they are read.
		area := [2]uint64{uint64(at), uint64(n)}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, b.out.Fd(), unix.BLKZEROOUT, uintptr(unsafe.Pointer(&area)))
		runtime.KeepAlive(&area)
		if errno == 0 {
			return nil
		}
	}
	nothing := make([]byte, mebibyte)
	for end := at + n; at < end; {
		p := nothing[:min(int64(len(nothing)), end-at)]
		if _, err := b.out.WriteAt(p, at); err != nil {
			return err
		}
		at += int64(len(p))
	}
	return nil
}

// A DifferenceError is a medium that does not hold what was written.
type DifferenceError struct {
	Path string
	At   int64
}

func (e *DifferenceError) Error() string {
	return fmt.Sprintf("%s: byte %d is not what was written", e.Path, e.At)
}

// Hint says what such a medium is good for.
func (e *DifferenceError) Hint() string {
	return "the medium is broken, or smaller than it says: do not use it"
}

// readBack compares the medium, past every cache of this machine, with the
// image.
func (b *Burn) readBack(ctx context.Context, r *step.Reporter) error {
	direct, err := b.openDirect()
	if err != nil {
		return err
	}
	defer direct.Close()
	if b.buffered {
		r.Note("%s lies on a file system that cannot be read past its cache", b.Medium.Path)
	}
	nothing := make([]byte, mebibyte)
	return b.pieces(ctx, r.Progress, func(at int64, p []byte, hole int64) error {
		if p != nil {
			return b.compare(direct, at, p)
		}
		for ; hole > 0; hole -= mebibyte {
			if err := b.compare(direct, at, nothing[:min(hole, mebibyte)]); err != nil {
				return err
			}
			at += mebibyte
		}
		return nil
	})
}

func (b *Burn) openDirect() (*directReader, error) {
	f, err := os.OpenFile(b.Medium.Path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) && b.Medium.File {
		b.buffered = true
		f, err = os.Open(b.Medium.Path)
	}
	if err != nil {
		return nil, err
	}
	// O_DIRECT wants memory that is aligned, as whole pages are.
	buffer, err := unix.Mmap(-1, 0, mebibyte, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &directReader{f, buffer}, nil
}

type directReader struct {
	*os.File
	buffer []byte
}

func (d *directReader) Close() error { return errors.Join(d.File.Close(), unix.Munmap(d.buffer)) }

func (b *Burn) compare(direct *directReader, at int64, want []byte) error {
	got := direct.buffer[:len(want)]
	if _, err := direct.ReadAt(got, at); err != nil {
		return fmt.Errorf("read %s back: %w", b.Medium.Path, err)
	}
	if !bytes.Equal(got, want) {
		i := 0
		for got[i] == want[i] {
			i++
		}
		return &DifferenceError{b.Medium.Path, at + int64(i)}
	}
	return nil
}

// finish writes the table, changed, and reads that back too.
func (b *Burn) finish() error {
	head := make([]byte, mebibyte)
	if _, err := b.image.ReadAt(head, 0); err != nil {
		return err
	}
	if _, err := b.out.WriteAt(head, 0); err != nil {
		return err
	}
	if err := Regenerate(b.Medium.Path, b.Random); err != nil {
		return err
	}
	if err := b.out.Sync(); err != nil {
		return err
	}
	direct, err := b.openDirect()
	if err != nil {
		return err
	}
	defer direct.Close()
	for _, at := range []int64{0, (b.Medium.Size - mebibyte) / sector * sector} {
		if _, err := b.out.ReadAt(head, at); err != nil {
			return err
		}
		if err := b.compare(direct, at, head); err != nil {
			return err
		}
	}
	if !b.Medium.File {
		// The kernel's view; a plug does the same.
		_, _ = unix.IoctlRetInt(int(b.out.Fd()), unix.BLKRRPART)
	}
	return nil
}
