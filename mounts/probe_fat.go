package mounts

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A fat is what the boot sector tells of a FAT's geometry, in sectors.
type fat struct {
	sectorSize, perCluster, reserved, tables, tableSize, rootEntries, total int64
	boot                                                                    []byte
}

// A FAT has no magic number, so everything in the boot sector has to make
// sense: a disk's MBR ends with the same two bytes.
func probeFAT(head []byte, r io.ReaderAt) (Filesystem, bool) {
	if len(head) < 512 || head[510] != 0x55 || head[511] != 0xAA || head[0] != 0xEB && head[0] != 0xE9 {
		return Filesystem{}, false
	}
	f := parseFAT(head)
	if !f.plausible() {
		return Filesystem{}, false
	}
	fs := Filesystem{Type: "vfat", Size: f.total * f.sectorSize}
	extended := head[36:] // of FAT12 and FAT16
	if f.is32() {
		extended = head[64:]
	}
	if signature := extended[2]; signature == 0x29 || signature == 0x28 {
		serial := binary.LittleEndian.Uint32(extended[3:])
		fs.UUID = fmt.Sprintf("%04X-%04X", serial>>16, serial&0xFFFF)
		if signature == 0x29 {
			fs.Label = fatLabel(extended[7:18])
		}
	}
	if label, ok := f.rootLabel(r); ok {
		fs.Label = label
	}
	return fs, true
}

func parseFAT(b []byte) fat {
	le := binary.LittleEndian
	f := fat{sectorSize: int64(le.Uint16(b[11:])), perCluster: int64(b[13]), reserved: int64(le.Uint16(b[14:])),
		tables: int64(b[16]), rootEntries: int64(le.Uint16(b[17:])), total: int64(le.Uint16(b[19:])),
		tableSize: int64(le.Uint16(b[22:])), boot: b}
	if f.total == 0 {
		f.total = int64(le.Uint32(b[32:]))
	}
	if f.tableSize == 0 {
		f.tableSize = int64(le.Uint32(b[36:]))
	}
	return f
}

func (f fat) plausible() bool {
	powerOf2 := func(n int64) bool { return n > 0 && n&(n-1) == 0 }
	media := f.boot[21]
	return powerOf2(f.sectorSize) && f.sectorSize >= 512 && f.sectorSize <= 4096 && powerOf2(f.perCluster) &&
		f.reserved > 0 && (f.tables == 1 || f.tables == 2) && f.tableSize > 0 &&
		(media == 0xF0 || media >= 0xF8) && f.total > f.dataStart()
}

// is32 asks what the kernel asks: a FAT32 has no FAT16 table size.
func (f fat) is32() bool { return binary.LittleEndian.Uint16(f.boot[22:]) == 0 }

func (f fat) rootStart() int64 { return f.reserved + f.tables*f.tableSize }
func (f fat) dataStart() int64 {
	return f.rootStart() + (f.rootEntries*32+f.sectorSize-1)/f.sectorSize
}

// maxRoot bounds how much of a root directory is read for the label: the
// largest of a FAT16 that anyone makes.
const maxRoot = 1 << 20

// rootLabel finds the root directory's volume label: the one that `LABEL=` and
// GRUB go by, and which some tools change without the boot sector's.
func (f fat) rootLabel(r io.ReaderAt) (string, bool) {
	if !f.is32() {
		label, _ := labelEntry(r, f.rootStart()*f.sectorSize, min(f.rootEntries*32, maxRoot))
		return label, label != ""
	}
	bytes := f.perCluster * f.sectorSize
	cluster := int64(binary.LittleEndian.Uint32(f.boot[44:]) & 0x0FFFFFFF)
	for read := int64(0); read < maxRoot; read += bytes {
		sector := f.dataStart() + (cluster-2)*f.perCluster
		if cluster < 2 || sector >= f.total {
			return "", false
		}
		if label, end := labelEntry(r, sector*f.sectorSize, bytes); end {
			return label, label != ""
		}
		var next [4]byte
		if _, err := r.ReadAt(next[:], f.reserved*f.sectorSize+cluster*4); err != nil {
			return "", false
		}
		cluster = int64(binary.LittleEndian.Uint32(next[:]) & 0x0FFFFFFF)
	}
	return "", false
}

// labelEntry looks for a volume label among the directory entries; end says
// that none will follow, found or not.
func labelEntry(r io.ReaderAt, offset, size int64) (label string, end bool) {
	const longName, volume = 0x0F, 0x08
	entries := make([]byte, size)
	if n, err := r.ReadAt(entries, offset); err != nil && n < len(entries) {
		return "", true
	}
	for ; len(entries) >= 32; entries = entries[32:] {
		attributes := entries[11]
		switch {
		case entries[0] == 0:
			return "", true
		case entries[0] == 0xE5, attributes&0x3F == longName:
		case attributes&(volume|0x10) == volume:
			return fatLabel(entries[:11]), true
		}
	}
	return "", false
}

// fatLabel is an 11-byte label; the word for having none is no label.
func fatLabel(b []byte) string {
	label := padded(b)
	if label == "NO NAME" {
		return ""
	}
	return label
}
