package bootstate

import (
	"bytes"
	"fmt"
	"io"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// A Sector is one write: whole sectors of a partition, of which only the
// state file's bytes differ from what is there.
type Sector struct {
	Path   string
	Offset int64
	Old    []byte
	New    []byte
}

// PlanWrite finds where a state file's bytes are now and says which sectors
// to write for its new content. It refuses where the file is not what a state
// file must be: 512 bytes with an environment block's header, in one sector.
// mend is for a sector that a power cut left as garbage or unreadable, and
// that a write cures: then what is there does not matter.
func PlanWrite(r io.ReaderAt, path string, content []byte, sectorSize int, mend bool) (Sector, error) {
	if len(content) != layout.EnvironmentBlock {
		return Sector{}, fmt.Errorf("write %s: %d bytes, want %d", path, len(content), layout.EnvironmentBlock)
	}
	if _, err := ParseBlock(content); err != nil {
		return Sector{}, fmt.Errorf("write %s: the new content is %w", path, err)
	}
	if sectorSize < layout.EnvironmentBlock || sectorSize > 64<<10 || sectorSize&(sectorSize-1) != 0 {
		return Sector{}, fmt.Errorf("write %s: a sector size of %d", path, sectorSize)
	}
	e, err := Locate(r, path)
	if err != nil {
		return Sector{}, fmt.Errorf("write: %w", err)
	}
	if e.Size != layout.EnvironmentBlock || e.Offset%layout.EnvironmentBlock != 0 {
		return Sector{}, fmt.Errorf("write %s: %d bytes at %d is no state file", path, e.Size, e.Offset)
	}
	start := e.Offset / int64(sectorSize) * int64(sectorSize)
	old := make([]byte, sectorSize)
	alone := e.Offset == start && e.Cluster >= int64(sectorSize)
	if _, err := r.ReadAt(old, start); err != nil && mend && alone {
		// What else is in the sector is the rest of the file's own cluster.
		clear(old)
	} else if err != nil {
		return Sector{}, fmt.Errorf("write %s: read its sector first: %w", path, err)
	}
	at := int(e.Offset - start)
	if _, err := ParseBlock(old[at : at+len(content)]); err != nil && !mend {
		return Sector{}, step.WithHint(fmt.Errorf("write %s: what is there is %w", path, err),
			"is the EFI system partition damaged? look with fsck.fat -n")
	}
	updated := bytes.Clone(old)
	copy(updated[at:], content)
	return Sector{path, start, old, updated}, nil
}

// A Device is a partition that is read and written past every cache.
type Device interface {
	io.ReaderAt
	io.WriterAt
	SectorSize() int
}

// Write plans and does one write of a state file and reads it back. The
// caller has made sure that the file system is not mounted read-write and
// that this is still the disk that it was.
func Write(d Device, path string, content []byte, mend bool) error {
	s, err := PlanWrite(d, path, content, d.SectorSize(), mend)
	if err != nil {
		return err
	}
	if _, err := d.WriteAt(s.New, s.Offset); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	back := make([]byte, len(s.New))
	if _, err := d.ReadAt(back, s.Offset); err != nil {
		return fmt.Errorf("write %s: read it back: %w", path, err)
	}
	if !bytes.Equal(back, s.New) {
		return step.WithHint(fmt.Errorf("write %s: what comes back is not what was written", path), "the disk is failing or write-protected")
	}
	return nil
}
