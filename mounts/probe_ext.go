package mounts

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Feature bits of the ext superblock. Who has any beyond those that ext3 knows
// is an ext4; who has none of them and a journal is an ext3.
const (
	extCompatJournal   = 0x4
	extIncompatRecover = 0x4
	extIncompatJournal = 0x8 // a journal of its own, without a file system
	extIncompatOfExt3  = 0x2 | extIncompatRecover | 0x10
	extROCompatOfExt3  = 0x1 | 0x2 | 0x4
	extIncompat64      = 0x80
)

func probeExt(head []byte, _ io.ReaderAt) (Filesystem, bool) {
	if len(head) < 2048 {
		return Filesystem{}, false
	}
	sb := head[1024:2048]
	le := binary.LittleEndian
	blockBits := le.Uint32(sb[0x18:])
	incompat, roCompat := le.Uint32(sb[0x60:]), le.Uint32(sb[0x64:])
	if le.Uint16(sb[0x38:]) != 0xEF53 || blockBits > 6 || incompat&extIncompatJournal != 0 {
		return Filesystem{}, false
	}
	fs := Filesystem{Type: "ext2", Label: padded(sb[0x78:0x88]), UUID: uuid(sb[0x68:0x78]),
		NeedsRecovery: incompat&extIncompatRecover != 0}
	switch {
	case incompat&^uint32(extIncompatOfExt3) != 0 || roCompat&^uint32(extROCompatOfExt3) != 0:
		fs.Type = "ext4"
	case le.Uint32(sb[0x5C:])&extCompatJournal != 0:
		fs.Type = "ext3"
	}
	blocks := uint64(le.Uint32(sb[0x4:]))
	if incompat&extIncompat64 != 0 {
		blocks |= uint64(le.Uint32(sb[0x150:])) << 32
	}
	if blocks > math.MaxInt64>>(10+blockBits) {
		return Filesystem{}, false
	}
	fs.Size = int64(blocks) << (10 + blockBits)
	return fs, true
}

// uuid renders 16 bytes in the order in which they lie; none for all zeros.
func uuid(b []byte) string {
	if allZero(b) {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
