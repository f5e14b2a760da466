package bootstate

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// ReadRoot reads those files of a FAT file system's root directory that are
// wanted by their long names, each of at most limit bytes: what is asked of a
// partition that is mounted nowhere. Like Locate it trusts nothing, and ends.
func ReadRoot(r io.ReaderAt, limit int64, wanted func(name string) bool) (map[string][]byte, error) {
	v, err := openFAT(r)
	if err != nil {
		return nil, err
	}
	directory, err := v.rootBytes()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, e := range v.list(directory) {
		if !wanted(name) {
			continue
		}
		if e.size > limit {
			return nil, fmt.Errorf("read %s: %d bytes, at most %d", name, e.size, limit)
		}
		if files[name], err = v.read(e); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return files, nil
}

// maxRoot bounds a root directory: 8,192 short names.
const maxRoot = 256 << 10

// rootBytes is the root directory as it lies on the disk.
func (v fat) rootBytes() ([]byte, error) {
	if v.bits != 32 {
		b := make([]byte, min(v.rootSize, maxRoot))
		_, err := v.r.ReadAt(b, v.root)
		return b, err
	}
	var all []byte
	for c := v.rootCluster; len(all) < maxRoot && c >= 2 && c-2 < v.clusters; {
		b := make([]byte, v.clusterSize)
		if _, err := v.r.ReadAt(b, v.offset(c)); err != nil {
			return nil, fmt.Errorf("read the root directory: %w", err)
		}
		all = append(all, b...)
		var err error
		if c, err = v.next(c); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// list gives the files of a directory by their long names, and where they have
// none by their short ones.
func (v fat) list(directory []byte) map[string]entry {
	files := map[string]entry{}
	long := ""
	for ; len(directory) >= 32 && directory[0] != 0; directory = directory[32:] {
		e := directory[:32]
		switch attributes := e[11]; {
		case e[0] == 0xe5:
			long = ""
		case attributes&0x3f == 0x0f: // a piece of a name, the last piece first
			long = namePiece(e) + long
		case attributes&0x18 != 0: // a label or a folder
			long = ""
		default:
			found := entry{cluster: uint32(binary.LittleEndian.Uint16(e[26:])), size: int64(binary.LittleEndian.Uint32(e[28:]))}
			if v.bits == 32 {
				found.cluster |= uint32(binary.LittleEndian.Uint16(e[20:])) << 16
			}
			if long == "" {
				long = strings.TrimSuffix(strings.TrimRight(string(e[:8]), " ")+"."+strings.TrimRight(string(e[8:11]), " "), ".")
			}
			files[long], long = found, ""
		}
	}
	return files
}

// namePiece are the up to thirteen letters of a long name's entry.
func namePiece(e []byte) string {
	var units []uint16
	for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		unit := binary.LittleEndian.Uint16(e[at:])
		if unit == 0 || unit == 0xffff {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}

// read is a file's contents.
func (v fat) read(e entry) ([]byte, error) {
	if e.size == 0 {
		return nil, nil
	}
	chain, err := v.chain(e.cluster, (e.size+v.clusterSize-1)/v.clusterSize)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, c := range chain {
		b := make([]byte, v.clusterSize)
		if n, err := v.r.ReadAt(b, v.offset(c)); err != nil && int64(len(all)+n) < e.size {
			return nil, err
		}
		all = append(all, b...)
	}
	return all[:e.size], nil
}
