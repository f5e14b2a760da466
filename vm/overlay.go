package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// qcow2 numbers, from QEMU's docs/interop/qcow2.txt.
const (
	qcow2Magic     = 0x514649fb
	backingFormat  = 0xe2792aca // header extension: the backing file's format
	qcow2Cluster   = 1 << 16
	qcow2PerL1     = qcow2Cluster / 8 * qcow2Cluster // bytes of disk that one L1 entry maps
	qcow2Header    = 104
	overlayMaxSize = qcow2PerL1 * (qcow2Cluster / 8) // one cluster of L1 entries: 4 TiB
)

// overlay is an empty qcow2 image of four clusters (header, reference table,
// reference block, L1 table) over the file backing, which is size bytes long
// to the guest. We write it ourselves because a shared image with writes
// thrown away is what nearly every VM test wants, and qemu-img is one more
// package to install.
func overlay(backing, format string, size int64) ([]byte, error) {
	if size <= 0 || size > overlayMaxSize {
		return nil, fmt.Errorf("a disk of %d bytes is empty or beyond 4 TiB", size)
	}
	if len(backing) > 1023 {
		return nil, fmt.Errorf("the path %s is longer than the 1023 bytes that qcow2 has for it", backing)
	}
	ext := binary.BigEndian.AppendUint32(nil, backingFormat)
	ext = binary.BigEndian.AppendUint32(ext, uint32(len(format)))
	ext = append(ext, format...)
	ext = append(ext, make([]byte, (8-len(format)%8)%8)...) // padding to 8 bytes
	ext = append(ext, make([]byte, 8)...)                   // end of extensions

	entries := (size + qcow2PerL1 - 1) / qcow2PerL1
	var b bytes.Buffer
	_ = binary.Write(&b, binary.BigEndian, struct {
		Magic, Version                      uint32
		BackingOffset                       uint64
		BackingSize, ClusterBits            uint32
		Size                                uint64
		Crypt, L1Entries                    uint32
		L1, RefTable                        uint64
		RefTableClusters, Snapshots         uint32
		SnapshotsOffset                     uint64
		Incompatible, Compatible, AutoClear uint64
		RefcountOrder, HeaderLength         uint32
	}{
		Magic: qcow2Magic, Version: 3,
		BackingOffset: uint64(qcow2Header + len(ext)), BackingSize: uint32(len(backing)),
		ClusterBits: 16, Size: uint64(size), L1Entries: uint32(entries),
		L1: 3 * qcow2Cluster, RefTable: qcow2Cluster, RefTableClusters: 1,
		RefcountOrder: 4, HeaderLength: qcow2Header,
	})
	b.Write(ext)
	b.WriteString(backing)

	image := make([]byte, 4*qcow2Cluster)
	copy(image, b.Bytes())
	binary.BigEndian.PutUint64(image[qcow2Cluster:], 2*qcow2Cluster)
	for cluster := range 4 {
		binary.BigEndian.PutUint16(image[2*qcow2Cluster+2*cluster:], 1)
	}
	return image, nil
}

// writeOverlay makes d's overlay in dir.
func writeOverlay(d Disk, dir string) error {
	path, err := filepath.Abs(d.Path)
	if err != nil {
		return fmt.Errorf("overlay over %s: %w", d.Path, err)
	}
	size, err := guestSize(path, d.Format)
	if err != nil {
		return fmt.Errorf("overlay over %s: %w", d.Path, err)
	}
	image, err := overlay(path, d.Format, size)
	if err != nil {
		return fmt.Errorf("overlay over %s: %w", d.Path, err)
	}
	return os.WriteFile(d.overlay(dir), image, 0o600)
}

// guestSize is how large the disk in the file is to the guest.
func guestSize(path, format string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if format == "raw" {
		return f.Seek(0, io.SeekEnd) // of a block device too
	}
	var head [32]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0, fmt.Errorf("read its header: %w", err)
	}
	if binary.BigEndian.Uint32(head[:]) != qcow2Magic {
		return 0, fmt.Errorf("it does not begin as qcow2 does")
	}
	return int64(binary.BigEndian.Uint64(head[24:])), nil
}
