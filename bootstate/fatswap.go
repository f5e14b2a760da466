package bootstate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"psyopsOS/step"
)

// ReadWhole reads a file of at most limit bytes from a FAT32 file system, by
// its long or its short name, wherever its clusters lie.
func ReadWhole(r io.ReaderAt, path string, limit int64) ([]byte, error) {
	e, err := openEditor(r, 512, time.Time{})
	if err != nil {
		return nil, err
	}
	return e.whole(path, limit)
}

func (e *editor) whole(path string, limit int64) ([]byte, error) {
	f, _, err := e.find(path)
	if err != nil {
		return nil, err
	}
	if f.isFolder() {
		return nil, fmt.Errorf("read %s: it is a folder", path)
	}
	if int64(f.size()) > limit {
		return nil, fmt.Errorf("read %s: it is larger than %s", path, step.Bytes(limit))
	}
	data := make([]byte, f.size())
	runs, err := e.runs(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	rest := data
	for _, run := range runs {
		n := min(int64(len(rest)), run.bytes)
		if err := e.read(rest[:n], run.at); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		rest = rest[n:]
	}
	return data, nil
}

// ListRoot lists the files in the root of a FAT32 file system.
func ListRoot(r io.ReaderAt) (names []string, err error) {
	e, err := openEditor(r, 512, time.Time{})
	if err != nil {
		return nil, err
	}
	slots, _, err := e.slots(e.v.rootCluster)
	for _, f := range entries(slots) {
		if !f.isFolder() {
			names = append(names, f.name)
		}
	}
	return names, err
}

// A piece is clusters of a file in a row.
type piece struct{ at, bytes int64 }

// runs are where a file's clusters are.
func (e *editor) runs(f found) (list []piece, err error) {
	c := f.short().first()
	for n := e.clustersOf(int(f.size())); n > 0; n-- {
		if c < 2 || c-2 >= e.v.clusters {
			return nil, fmt.Errorf("the chain leads to cluster %d of %d", c, e.v.clusters)
		}
		at := e.v.offset(c)
		if k := len(list) - 1; k >= 0 && list[k].at+list[k].bytes == at {
			list[k].bytes += e.v.clusterSize
		} else {
			list = append(list, piece{at, e.v.clusterSize})
		}
		c = e.next(c)
	}
	return list, nil
}

// ErrTooSmall is a preallocated file in which the new content has no room.
var ErrTooSmall = errors.New("the preallocated file is too small")

// PlanInPlace says which writes give a file a new content without changing the
// tables or the directory: the rest of its size is filled with zeros.
func PlanInPlace(r io.ReaderAt, sectorSize int, path string, content []byte) ([]BlockWrite, error) {
	e, err := openEditor(r, sectorSize, time.Time{})
	if err != nil {
		return nil, err
	}
	f, _, err := e.find(path)
	if err != nil {
		return nil, err
	}
	if f.isFolder() || int64(len(content)) > int64(f.size()) {
		return nil, fmt.Errorf("write %s, which has %s, in place with %s: %w", path, step.Bytes(int64(f.size())), step.Bytes(int64(len(content))), ErrTooSmall)
	}
	runs, err := e.runs(f)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	for _, run := range runs {
		n := min(int64(len(content)), run.bytes)
		data := make([]byte, run.bytes)
		copy(data, content[:n])
		content = content[n:]
		if err := e.put(run.at, data); err != nil {
			return nil, err
		}
	}
	err = e.flush("data")
	return e.writes, err
}

// PlanSwap is the one write that makes two files of a folder change places:
// their entries must lie in one sector.
func PlanSwap(r io.ReaderAt, sectorSize int, one, other string) (BlockWrite, error) {
	e, err := openEditor(r, sectorSize, time.Time{})
	if err != nil {
		return BlockWrite{}, err
	}
	a, _, err := e.find(one)
	if err != nil {
		return BlockWrite{}, err
	}
	b, _, err := e.find(other)
	if err != nil {
		return BlockWrite{}, err
	}
	first, second := a.short(), b.short()
	if a.isFolder() || b.isFolder() || first.at/e.unit != second.at/e.unit {
		return BlockWrite{}, fmt.Errorf("swap %s and %s: they are not two files in one sector of the directory", one, other)
	}
	x, y := bytes.Clone(first.raw[:]), bytes.Clone(second.raw[:])
	for _, field := range []struct{ from, to int }{{20, 22}, {26, 32}} { // the first cluster and the size
		copy(x[field.from:field.to], second.raw[field.from:field.to])
		copy(y[field.from:field.to], first.raw[field.from:field.to])
	}
	if err := errors.Join(e.put(first.at, x), e.put(second.at, y)); err != nil {
		return BlockWrite{}, err
	}
	if err := e.flush("directory"); err != nil {
		return BlockWrite{}, err
	}
	return e.writes[0], nil
}

// WriteBlocks does writes in order and reads each one back. The caller has made
// sure of what Write wants too.
func WriteBlocks(d Device, writes []BlockWrite, told func(BlockWrite)) error {
	for _, w := range writes {
		if _, err := d.WriteAt(w.Data, w.Offset); err != nil {
			return fmt.Errorf("write %d bytes (%s) at %d: %w", len(w.Data), w.What, w.Offset, err)
		}
		back := make([]byte, len(w.Data))
		if _, err := d.ReadAt(back, w.Offset); err != nil {
			return fmt.Errorf("read %d bytes (%s) at %d back: %w", len(w.Data), w.What, w.Offset, err)
		}
		if !bytes.Equal(back, w.Data) {
			return step.WithHint(fmt.Errorf("%d bytes (%s) at %d: what comes back is not what was written", len(w.Data), w.What, w.Offset), "the disk is failing or write-protected")
		}
		told(w)
	}
	return nil
}
