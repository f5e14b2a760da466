package bootstate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"psyopsOS/step"
)

// A BlockWrite is one write to a partition, of whole sectors.
type BlockWrite struct {
	What   string // "data", "table", "directory" or "summary"
	Offset int64
	Data   []byte
}

// A FileChange is what becomes of one file of a FAT file system.
type FileChange struct {
	Path   string // its folder must be there
	Data   []byte
	Remove bool   // instead; a file that is not there is no error
	Beside string // the file whose directory sector a new entry must share
}

// ErrNoRoom is a file system in which a change does not fit.
var ErrNoRoom = errors.New("there is no room")

// PlanFiles says which writes, in order, make the changes on the FAT32 file
// system that r holds. A power cut between any two leaves every file either as
// it was or as it shall be: the new contents go to clusters that nothing uses,
// then the tables (the backup first), then the directory, and only then are the
// clusters of what was replaced given back. New clusters share no 4 KiB of the
// table with anything else where there is room for that, so that a sector that
// is destroyed by a cut is nobody else's. It refuses before anything is
// written where there is no room.
func PlanFiles(r io.ReaderAt, sectorSize int, now time.Time, changes ...FileChange) ([]BlockWrite, error) {
	e, err := openEditor(r, sectorSize, now)
	if err != nil {
		return nil, err
	}
	if err := e.files(changes); err != nil {
		return nil, err
	}
	return e.writes, nil
}

// An editor changes a FAT32 file system in memory, and notes the writes.
type editor struct {
	v       fat
	r       io.ReaderAt
	unit    int64 // a sector of the device
	now     time.Time
	table   []byte           // the first copy, as it will be
	sectors map[int64][]byte // what is changed, by offset
	dirty   map[int64]bool   // of them, what no write has yet
	writes  []BlockWrite
	freed   []uint32 // the first clusters of chains that nothing will use
}

const (
	lastCluster = 0x0fffffff
	mediaBlock  = 4096 // what a medium may lose in a write of one sector
	maxTable    = 8 << 20
	maxWrite    = 1 << 20
)

func openEditor(r io.ReaderAt, sectorSize int, now time.Time) (*editor, error) {
	v, err := openFAT(r)
	if err != nil {
		return nil, err
	}
	switch {
	case v.bits != 32:
		return nil, fmt.Errorf("FAT%d: only FAT32 is written", v.bits)
	case v.tableSize > maxTable || v.tableSize < (int64(v.clusters)+2)*4:
		return nil, fmt.Errorf("a table of %d bytes for %d clusters", v.tableSize, v.clusters)
	case v.oneTable:
		return nil, errors.New("its tables are not copies of each other")
	case sectorSize < 512 || sectorSize > mediaBlock || sectorSize&(sectorSize-1) != 0:
		return nil, fmt.Errorf("a sector size of %d", sectorSize)
	}
	e := &editor{v: v, r: r, unit: int64(sectorSize), now: now, table: make([]byte, v.tableSize), sectors: map[int64][]byte{}, dirty: map[int64]bool{}}
	if _, err := r.ReadAt(e.table, v.table); err != nil {
		return nil, fmt.Errorf("read the FAT: %w", err)
	}
	return e, nil
}

// files makes the changes in five phases.
func (e *editor) files(changes []FileChange) error {
	var contents [][]byte
	for _, c := range changes {
		if !c.Remove {
			contents = append(contents, c.Data)
		}
	}
	firsts, err := e.store(contents)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Remove {
			err = e.remove(c.Path)
		} else {
			err = e.enter(c, firsts[0])
			firsts = firsts[1:]
		}
		if err != nil {
			return err
		}
	}
	if err := e.flush("directory"); err != nil {
		return err
	}
	return e.giveBack()
}

// store writes contents to free clusters, one behind the other, and enters
// them in the tables. It gives their first clusters.
func (e *editor) store(contents [][]byte) ([]uint32, error) {
	var firsts []uint32
	n := int64(0)
	for _, c := range contents {
		n += e.clustersOf(len(c))
	}
	at, err := e.freeRun(n)
	if err != nil {
		return nil, err
	}
	for _, c := range contents {
		k := uint32(e.clustersOf(len(c)))
		if k == 0 {
			firsts = append(firsts, 0)
			continue
		}
		firsts = append(firsts, at)
		padded := make([]byte, int64(k)*e.v.clusterSize)
		copy(padded, c)
		if err := e.put(e.v.offset(at), padded); err != nil {
			return nil, err
		}
		e.chain(at, k)
		at += k
	}
	if err := e.flush("data"); err != nil {
		return nil, err
	}
	return firsts, e.writeTables()
}

func (e *editor) clustersOf(bytes int) int64 {
	return (int64(bytes) + e.v.clusterSize - 1) / e.v.clusterSize
}

func (e *editor) next(c uint32) uint32 {
	return binary.LittleEndian.Uint32(e.table[c*4:]) & 0x0fffffff
}

// link changes an entry of the table; its upper 4 bits are nobody's to change.
func (e *editor) link(c, next uint32) {
	old := binary.LittleEndian.Uint32(e.table[c*4:])
	binary.LittleEndian.PutUint32(e.table[c*4:], old&0xf0000000|next)
}

// freeRun is the first of n free clusters in a row: at best of a run whose
// entries share no 4 KiB of the table with others.
func (e *editor) freeRun(n int64) (uint32, error) {
	if n == 0 {
		return 2, nil
	}
	last := int64(e.v.clusters) + 1
	block := func(c int64) int64 { return (e.v.table + c*4) / mediaBlock }
	for _, alone := range []bool{true, false} {
		run := int64(0)
		used := int64(-1) // the block of the last entry that is in use
		for c := int64(2); c <= last; c++ {
			switch {
			case e.next(uint32(c)) != 0:
				run, used = 0, block(c)
				continue
			case alone && (block(c) == used || c == 2):
				run = 0
				continue
			}
			if run++; run < n {
				continue
			}
			if first := c - n + 1; !alone || e.unused(c+1, block(c)) {
				return uint32(first), nil
			}
		}
	}
	return 0, fmt.Errorf("%w: no %s in one piece", ErrNoRoom, step.Bytes(n*e.v.clusterSize))
}

// unused says whether nothing from cluster c on to the end of a block of the
// table is in use.
func (e *editor) unused(c, block int64) bool {
	for ; c <= int64(e.v.clusters)+1 && (e.v.table+c*4)/mediaBlock == block; c++ {
		if e.next(uint32(c)) != 0 {
			return false
		}
	}
	return true
}

// writeTables writes what has changed in the table to its copies, the first
// one, which everybody reads, last.
func (e *editor) writeTables() error {
	for copy := e.v.tables - 1; copy >= 0; copy-- {
		at := e.v.table + copy*e.v.tableSize
		old := make([]byte, e.v.tableSize)
		if err := e.read(old, at); err != nil {
			return err
		}
		for from := int64(0); from < e.v.tableSize; from += 512 {
			to := min(from+512, e.v.tableSize)
			if bytes.Equal(old[from:to], e.table[from:to]) {
				continue
			}
			if err := e.put(at+from, e.table[from:to]); err != nil {
				return err
			}
		}
		if err := e.flush("table"); err != nil {
			return err
		}
	}
	return nil
}

// giveBack frees the chains that nothing uses any more, and tells the summary
// how much is free.
func (e *editor) giveBack() error {
	for _, c := range e.freed {
		for c >= 2 && c-2 < e.v.clusters && e.next(c) != 0 {
			next := e.next(c)
			e.link(c, 0)
			c = next
		}
	}
	e.freed = nil
	if err := e.writeTables(); err != nil {
		return err
	}
	return e.summary()
}

// summary corrects the number of free clusters, which only checkers read.
func (e *editor) summary() error {
	if e.v.info == 0 {
		return nil
	}
	info := make([]byte, 512)
	if err := e.read(info, e.v.info); err != nil {
		return err
	}
	if string(info[:4]) != "RRaA" || string(info[484:488]) != "rrAa" {
		return nil
	}
	free := uint32(0)
	for c := uint32(2); c-2 < e.v.clusters; c++ {
		if e.next(c) == 0 {
			free++
		}
	}
	if binary.LittleEndian.Uint32(info[488:]) == free {
		return nil
	}
	binary.LittleEndian.PutUint32(info[488:], free)
	if err := e.put(e.v.info, info); err != nil {
		return err
	}
	return e.flush("summary")
}

// read reads what is there or will be.
func (e *editor) read(p []byte, offset int64) error {
	if len(e.sectors) == 0 {
		_, err := e.r.ReadAt(p, offset)
		return err
	}
	first := offset / e.unit * e.unit
	whole := make([]byte, (offset+int64(len(p))-first+e.unit-1)/e.unit*e.unit)
	if _, err := e.r.ReadAt(whole, first); err != nil {
		return err
	}
	for at := int64(0); at < int64(len(whole)); at += e.unit {
		if changed, ok := e.sectors[first+at]; ok {
			copy(whole[at:], changed)
		}
	}
	copy(p, whole[offset-first:])
	return nil
}

// put changes bytes; what shares their sectors stays.
func (e *editor) put(offset int64, p []byte) error {
	first := offset / e.unit * e.unit
	end := (offset + int64(len(p)) + e.unit - 1) / e.unit * e.unit
	whole := make([]byte, end-first)
	if first != offset || end != offset+int64(len(p)) {
		if err := e.read(whole, first); err != nil {
			return err
		}
	}
	copy(whole[offset-first:], p)
	for at := int64(0); at < int64(len(whole)); at += e.unit {
		e.sectors[first+at] = whole[at : at+e.unit]
		e.dirty[first+at] = true
	}
	return nil
}

// flush notes writes of all that was changed since the last one.
func (e *editor) flush(what string) error {
	var w BlockWrite
	for _, at := range slices.Sorted(maps.Keys(e.dirty)) {
		// A directory's sectors are written one at a time: each stands alone.
		if w.Data != nil && (what == "directory" || at != w.Offset+int64(len(w.Data)) || len(w.Data) >= maxWrite) {
			e.writes = append(e.writes, w)
			w = BlockWrite{}
		}
		if w.Data == nil {
			w = BlockWrite{What: what, Offset: at}
		}
		w.Data = append(w.Data, e.sectors[at]...)
	}
	if w.Data != nil {
		e.writes = append(e.writes, w)
	}
	clear(e.dirty)
	return nil
}
