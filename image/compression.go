package image

import (
	"fmt"
	"strconv"
	"strings"
)

// Compression is how a squashfs is compressed; nothing said is zstd at
// zstdLevel.
type Compression struct {
	Algorithm string // zstd or xz
	Level     int    // of zstd, 1 to 22
}

// How squashfs files are compressed where nobody asks for something else.
// Measured on the testos userland (59 MB) and the modules of Debian's generic
// kernel (391 MB), in seconds of one processor:
//
//	block    level   userland           modules
//	128 KiB    9     22.8 MB    1 s      93.2 MB    9 s
//	128 KiB   15     21.3 MB   10 s      87.9 MB   46 s
//	256 KiB    9     22.3 MB    1 s      88.2 MB    8 s
//	  1 MiB    9                         82.8 MB    7 s
//
// A block is uncompressed whole for any byte of it, so 1 MiB would make
// starting a small program, or loading a small module, slow.
const (
	zstdLevel = 9
	maxLevel  = 22
	blockSize = 256 << 10
)

// ParseCompression reads zstd, zstd:LEVEL or xz.
func ParseCompression(text string) (Compression, error) {
	algorithm, level, leveled := strings.Cut(text, ":")
	c := Compression{Algorithm: algorithm}
	var err error
	if leveled {
		c.Level, err = strconv.Atoi(level)
	}
	if err != nil || algorithm != "zstd" && (algorithm != "xz" || leveled) || leveled && (c.Level < 1 || c.Level > maxLevel) {
		return Compression{}, fmt.Errorf("compression %q: want zstd, zstd:LEVEL (1 to %d) or xz", text, maxLevel)
	}
	return c, nil
}

// args are for mksquashfs.
func (c Compression) args() []string {
	args := []string{"-b", strconv.Itoa(blockSize), "-comp"}
	if c.Algorithm == "xz" {
		return append(args, "xz")
	}
	level := c.Level
	if level == 0 {
		level = zstdLevel
	}
	return append(args, "zstd", "-Xcompression-level", strconv.Itoa(level))
}
