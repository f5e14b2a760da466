package mounts

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrUnknown says that no known file system begins there.
var ErrUnknown = errors.New("no known file system")

// A Filesystem is what a superblock tells.
type Filesystem struct {
	Type  string // "ext2", "ext3", "ext4", "vfat" or "squashfs"
	Label string
	UUID  string // of vfat the volume's serial number, "7A09-386B"
	Size  int64  // bytes
	// NeedsRecovery says that an ext4's journal holds what is not yet in its
	// place: mounted without replaying it, files may be old or damaged.
	NeedsRecovery bool
}

// Probe reads the superblock of the file system that begins at the reader's
// first byte. ErrUnknown says that there is none that it knows; any other error
// is the reader's.
func Probe(r io.ReaderAt) (Filesystem, error) {
	head := make([]byte, probeBytes)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Filesystem{}, fmt.Errorf("read the superblock: %w", err)
	}
	head = head[:n]
	for _, probe := range []func([]byte, io.ReaderAt) (Filesystem, bool){probeExt, probeSquashfs, probeFAT} {
		if fs, ok := probe(head, r); ok {
			return fs, nil
		}
	}
	return Filesystem{}, ErrUnknown
}

// probeBytes holds the boot sector, and ext4's superblock from 1024 to 2048.
const probeBytes = 2048

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// padded is the text of a field that is filled up with zeros or blanks.
func padded(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.TrimRight(s, " ")
}
