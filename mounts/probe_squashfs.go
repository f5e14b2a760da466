package mounts

import (
	"encoding/binary"
	"io"
	"math"
)

// probeSquashfs knows version 4.0, the only one since Linux 2.6.29. A squashfs
// has neither label nor UUID.
func probeSquashfs(head []byte, _ io.ReaderAt) (Filesystem, bool) {
	if len(head) < 96 || string(head[:4]) != "hsqs" {
		return Filesystem{}, false
	}
	le := binary.LittleEndian
	bits, size := le.Uint16(head[22:]), le.Uint64(head[40:])
	if le.Uint16(head[28:]) != 4 || le.Uint16(head[30:]) != 0 || size > math.MaxInt64 ||
		bits < 12 || bits > 20 || le.Uint32(head[12:]) != 1<<bits {
		return Filesystem{}, false
	}
	return Filesystem{Type: "squashfs", Size: int64(size)}, true
}
