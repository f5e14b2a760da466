package bootstate

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"strings"
)

// maxDirectory is FAT's own limit for a directory.
const maxDirectory = 2 << 20

// lookup finds name in the directory dir.
func (v fat) lookup(dir entry, name string, isRoot bool) (entry, error) {
	want, ok := shortName(name)
	if !ok {
		return entry{}, fmt.Errorf("%q is not a name of the 8.3 kind", name)
	}
	if !dir.dir {
		return entry{}, fs.ErrNotExist
	}
	if isRoot && v.bits != 32 {
		found, _, err := v.scan(v.root, v.rootSize, want)
		return orNotExist(found, err)
	}
	c := dir.cluster
	for read := int64(0); read < maxDirectory && c >= 2 && c-2 < v.clusters; read += v.clusterSize {
		found, end, err := v.scan(v.offset(c), v.clusterSize, want)
		if found != nil || end || err != nil {
			return orNotExist(found, err)
		}
		if c, err = v.next(c); err != nil {
			return entry{}, err
		}
	}
	return entry{}, fs.ErrNotExist
}

func orNotExist(found *entry, err error) (entry, error) {
	if err != nil {
		return entry{}, err
	}
	if found == nil {
		return entry{}, fs.ErrNotExist
	}
	return *found, nil
}

// scan looks for a name in a piece of a directory. end is true after the
// directory's last entry.
func (v fat) scan(offset, size int64, want [11]byte) (found *entry, end bool, err error) {
	b := make([]byte, size)
	if _, err := v.r.ReadAt(b, offset); err != nil {
		return nil, false, fmt.Errorf("read a directory: %w", err)
	}
	for ; len(b) >= 32; b = b[32:] {
		attributes := b[11]
		if b[0] == 0 {
			return nil, true, nil
		}
		if b[0] == 0xe5 || attributes&0x08 != 0 || [11]byte(b) != want {
			continue
		}
		e := entry{
			dir:     attributes&0x10 != 0,
			cluster: uint32(binary.LittleEndian.Uint16(b[26:])),
			size:    int64(binary.LittleEndian.Uint32(b[28:])),
		}
		if v.bits == 32 {
			e.cluster |= uint32(binary.LittleEndian.Uint16(b[20:])) << 16
		}
		return &e, true, nil
	}
	return nil, false, nil
}

// shortName is name as a directory entry has it.
func shortName(name string) ([11]byte, bool) {
	out := [11]byte([]byte("           "))
	stem, extension, _ := strings.Cut(strings.ToUpper(name), ".")
	if stem == "" || len(stem) > 8 || len(extension) > 3 || !only(stem+extension, "_-~$") {
		return out, false
	}
	copy(out[:], stem)
	copy(out[8:], extension)
	return out, true
}
