// Package blocklog reads the log that QEMU's blklogwrites driver makes of a
// disk's writes and builds from it the states that a power cut could have left
// the disk in: every prefix, torn writes, damaged sectors, and any subset of
// what was written since the last flush.
//
// It reads the log (one of Linux's dm-log-writes, little-endian) and writes
// nothing. States are overlays of sectors over an image that stays as it is.
package blocklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// SectorSize is the only size of sectors that is read: what QEMU is told to
// log.
const SectorSize = 512

// Flags of an entry.
const (
	Flush   = 1 // what was written before is on the medium
	FUA     = 2 // this write is, when it is done
	Discard = 4
	Mark    = 8
)

const (
	magic     = 0x6a736677736872
	maxEntry  = 64 << 20 // bytes of one write; QEMU's own limit is lower
	knownBits = Flush | FUA | Discard | Mark
)

// An Entry is one request of the guest.
type Entry struct {
	Sector int64
	Flags  uint64
	Data   []byte // nil of a flush and of a discard
	Count  int64  // sectors, also of a discard
}

// Writes reports whether the entry changes the medium's sectors. A discard
// may: its sectors then read as zeros.
func (e Entry) Writes() bool { return len(e.Data) > 0 || e.Flags&Discard != 0 && e.Count > 0 }

// Read reads a log to its last entry. Entries that QEMU had not yet counted
// when the log was copied are left out.
func Read(r io.Reader) ([]Entry, error) {
	var super [SectorSize]byte
	if _, err := io.ReadFull(r, super[:]); err != nil {
		return nil, fmt.Errorf("read the log's superblock: %w", err)
	}
	le := binary.LittleEndian
	if got := le.Uint64(super[:]); got != magic {
		return nil, fmt.Errorf("not a log of writes: it begins with %#x", got)
	}
	if version := le.Uint64(super[8:]); version != 1 {
		return nil, fmt.Errorf("a log of writes of version %d, want 1", version)
	}
	if size := le.Uint32(super[24:]); size != SectorSize {
		return nil, fmt.Errorf("a log with sectors of %d bytes, want %d", size, SectorSize)
	}
	var log []Entry
	for n := le.Uint64(super[16:]); n > 0; n-- {
		e, err := readEntry(r)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the log: %w", len(log), err)
		}
		log = append(log, e)
	}
	return log, nil
}

func readEntry(r io.Reader) (Entry, error) {
	var head [SectorSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Entry{}, noEOF(err)
	}
	le := binary.LittleEndian
	sector, count, flags := le.Uint64(head[:]), le.Uint64(head[8:]), le.Uint64(head[16:])
	e := Entry{Sector: int64(sector), Flags: flags, Count: int64(count)}
	if flags&^uint64(knownBits) != 0 {
		return Entry{}, fmt.Errorf("unknown flags %#x", flags)
	}
	if sector > 1<<50 || count > 1<<50 {
		return Entry{}, fmt.Errorf("%d sectors at %d", count, sector)
	}
	if flags&Discard != 0 || count == 0 {
		return e, nil
	}
	if count > maxEntry/SectorSize {
		return Entry{}, fmt.Errorf("a write of %d sectors", count)
	}
	var err error
	if e.Data, err = io.ReadAll(io.LimitReader(r, int64(count)*SectorSize)); err != nil {
		return Entry{}, err
	}
	if int64(len(e.Data)) < int64(count)*SectorSize {
		return Entry{}, fmt.Errorf("a write of %d sectors: %w", count, io.ErrUnexpectedEOF)
	}
	return e, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
