package mounts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

// ErrNoGPT says that there is no intact GUID partition table.
var ErrNoGPT = errors.New("no intact GPT")

// A GPT is a disk's GUID partition table. Its GUIDs are lower case.
type GPT struct {
	DiskUUID   string
	Partitions []Partition
	FromBackup bool // the primary table is damaged
}

// A Partition is one entry of a GPT.
type Partition struct {
	Number      int // from 1; numbers may be missing
	Type, UUID  string
	Name        string
	Start, Size int64 // bytes
}

// The sizes that a table may have, so that no disk makes us read much: 128
// entries of 128 bytes are the rule.
const (
	minGPTHeader = 92
	minGPTEntry  = 128
	maxGPTEntry  = 4096
	maxGPTBytes  = 1 << 20
)

// ReadGPT reads the partition table of a disk of so many bytes, in sectors of
// sectorSize bytes: the one at its start, or where that is damaged the backup
// at its end. Entries that lie beyond the disk are left out, as the kernel does.
//
// It is here because kernels before 6.2 tell nobody the PARTUUID, and
// go-diskfs would make PID 1 larger by 0.8 MB.
func ReadGPT(disk io.ReaderAt, size int64, sectorSize int) (GPT, error) {
	if sectorSize < 512 || sectorSize > 4096 || sectorSize&(sectorSize-1) != 0 {
		return GPT{}, fmt.Errorf("read GPT: sector size %d: want 512 to 4096", sectorSize)
	}
	sectors := size / int64(sectorSize)
	table, primary := readGPTAt(disk, 1, sectors, sectorSize)
	if primary == nil {
		return table, nil
	}
	table, backup := readGPTAt(disk, sectors-1, sectors, sectorSize)
	if backup == nil {
		table.FromBackup = true
		return table, nil
	}
	return GPT{}, fmt.Errorf("read GPT: primary: %w; backup: %w", primary, backup)
}

// A gptHeader is what is needed of a table's header; positions in sectors.
type gptHeader struct {
	entries            int64
	count, entrySize   uint32
	entriesCRC         uint32
	diskUUID           string
	sectors, sectorLen int64
}

func readGPTAt(disk io.ReaderAt, at, sectors int64, sectorSize int) (GPT, error) {
	if at < 1 || at >= sectors {
		return GPT{}, fmt.Errorf("%w: the disk is too small", ErrNoGPT)
	}
	sector := make([]byte, sectorSize)
	if n, err := disk.ReadAt(sector, at*int64(sectorSize)); n < len(sector) {
		return GPT{}, err
	}
	header, err := parseGPTHeader(sector, at, sectors)
	if err != nil {
		return GPT{}, err
	}
	entries := make([]byte, header.count*header.entrySize)
	if n, err := disk.ReadAt(entries, header.entries*int64(sectorSize)); n < len(entries) {
		return GPT{}, err
	}
	if crc32.ChecksumIEEE(entries) != header.entriesCRC {
		return GPT{}, fmt.Errorf("%w: checksum of the entries", ErrNoGPT)
	}
	return header.table(entries), nil
}

func parseGPTHeader(sector []byte, at, sectors int64) (gptHeader, error) {
	le := binary.LittleEndian
	if string(sector[:8]) != "EFI PART" {
		return gptHeader{}, fmt.Errorf("%w: no signature", ErrNoGPT)
	}
	size := le.Uint32(sector[12:])
	if size < minGPTHeader || size > uint32(len(sector)) {
		return gptHeader{}, fmt.Errorf("%w: a header of %d bytes", ErrNoGPT, size)
	}
	summed := append([]byte(nil), sector[:size]...)
	clear(summed[16:20])
	if crc32.ChecksumIEEE(summed) != le.Uint32(sector[16:]) {
		return gptHeader{}, fmt.Errorf("%w: checksum of the header", ErrNoGPT)
	}
	h := gptHeader{entries: int64(le.Uint64(sector[72:])), count: le.Uint32(sector[80:]),
		entrySize: le.Uint32(sector[84:]), entriesCRC: le.Uint32(sector[88:]),
		diskUUID: mixedUUID(sector[56:72]), sectors: sectors, sectorLen: int64(len(sector))}
	switch {
	case le.Uint64(sector[24:]) != uint64(at):
		return gptHeader{}, fmt.Errorf("%w: the header belongs to another sector", ErrNoGPT)
	case h.entrySize < minGPTEntry || h.entrySize > maxGPTEntry || h.entrySize%8 != 0,
		h.count > maxGPTBytes/h.entrySize:
		return gptHeader{}, fmt.Errorf("%w: %d entries of %d bytes", ErrNoGPT, h.count, h.entrySize)
	case h.entries < 1 || h.entries >= sectors:
		return gptHeader{}, fmt.Errorf("%w: the entries lie beyond the disk", ErrNoGPT)
	}
	return h, nil
}

func (h gptHeader) table(entries []byte) GPT {
	le := binary.LittleEndian
	table := GPT{DiskUUID: h.diskUUID}
	for i := range int(h.count) {
		e := entries[i*int(h.entrySize):][:h.entrySize]
		first, last := int64(le.Uint64(e[32:])), int64(le.Uint64(e[40:]))
		if allZero(e[:16]) || first < 0 || last < first || last >= h.sectors {
			continue
		}
		table.Partitions = append(table.Partitions, Partition{Number: i + 1, Type: mixedUUID(e[:16]),
			UUID: mixedUUID(e[16:32]), Name: utf16Name(e[56:128]),
			Start: first * h.sectorLen, Size: (last - first + 1) * h.sectorLen})
	}
	return table
}

// mixedUUID renders a GUID as GPT stores it: its first three parts little
// endian.
func mixedUUID(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

func utf16Name(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(b[i:]))
	}
	name, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
	return name
}
