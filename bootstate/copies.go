package bootstate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"psyopsOS/layout"
)

// maxBlock bounds what is read of a state file that has another size than it
// should: GRUB would read it.
const maxBlock = 64 << 10

// Copies are the five state files as they are on the disk, nil where a file
// is missing or cannot be read.
type Copies struct {
	State1, State2, Tries, Fail, Menu []byte
	// State2On is the partition, 1 or 5, on which the second copy lies.
	State2On int
	Errors   []error // what could not be read, and why
	// Lost is of the files on the first partition that cannot even be found: a
	// sector that cannot be read comes back when it is written, a folder does
	// not.
	Lost []error
}

// ReadCopies reads the state files from the first EFI system partition and
// the second one, which is nil on a disk without. As GRUB's script does it
// takes the second copy from the second partition if the file is there.
func ReadCopies(first, second io.ReaderAt) Copies {
	c := Copies{State2On: layoutNumber(layout.EFISystem)}
	read := func(r io.ReaderAt, path string) []byte {
		data, err := ReadFile(r, path)
		if err != nil {
			c.Errors = append(c.Errors, err)
		}
		return data
	}
	for _, path := range []string{layout.State1, layout.Tries} {
		if _, err := Locate(first, path); err != nil {
			c.Lost = append(c.Lost, err)
		}
	}
	c.State1 = read(first, layout.State1)
	on := first
	if second != nil {
		if _, err := Locate(second, layout.State2); err == nil {
			on, c.State2On = second, layoutNumber(layout.EFISystem2)
		} else if !errors.Is(err, fs.ErrNotExist) {
			c.Errors = append(c.Errors, fmt.Errorf("%s: %w", layout.EFISystem2, err))
		}
	}
	c.State2 = read(on, layout.State2)
	c.Tries, c.Fail, c.Menu = read(first, layout.Tries), read(first, layout.Fail), read(first, layout.Menu)
	return c
}

func layoutNumber(label layout.Label) int {
	for _, v := range layout.Volumes() {
		if v.Label == label {
			return v.Number
		}
	}
	return 0
}

// ReadFile reads a small file from a FAT file system.
func ReadFile(r io.ReaderAt, path string) ([]byte, error) {
	e, err := Locate(r, path)
	if err != nil {
		return nil, err
	}
	if e.Size > maxBlock || !e.Contiguous {
		return nil, fmt.Errorf("read %s: %d bytes (in one piece: %t) is no state file", path, e.Size, e.Contiguous)
	}
	data := make([]byte, e.Size)
	if _, err := r.ReadAt(data, e.Offset); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
