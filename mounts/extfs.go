package mounts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// An Ext is the root directory of an ext4 file system that is mounted nowhere:
// what neuralupgrade reads of a disk image, without being root. It is an fs.FS
// of that directory's regular files. The journal is not replayed, and no
// checksum of the file system is looked at: whoever wants to believe a file has
// its signature.
type Ext struct {
	r           io.ReaderAt
	block       int64
	inodeSize   int64
	perGroup    uint32 // inodes
	groups      uint32
	descriptors int64 // offset of the group descriptors
	descSize    int64
	free        int64 // bytes for anybody but root
	entries     map[string]uint32
}

var _ fs.ReadDirFS = (*Ext)(nil)

// Bounds, so that no image makes us read much or for ever.
const (
	maxExtDirectory = 1 << 20
	maxExtDepth     = 5 // the kernel's own
	maxExtents      = 1 << 16
)

var errExt = errors.New("not an ext4 file system that can be read")

// OpenExt reads the superblock and the root directory.
func OpenExt(r io.ReaderAt) (*Ext, error) {
	sb := make([]byte, 1024)
	if _, err := r.ReadAt(sb, 1024); err != nil {
		return nil, fmt.Errorf("%w: %w", errExt, err)
	}
	le := binary.LittleEndian
	incompat, blockBits := le.Uint32(sb[0x60:]), le.Uint32(sb[0x18:])
	const metaGroups = 0x10
	if le.Uint16(sb[0x38:]) != 0xEF53 || blockBits > 6 || incompat&metaGroups != 0 {
		return nil, errExt
	}
	e := &Ext{r: r, block: 1024 << blockBits, inodeSize: int64(le.Uint16(sb[0x58:])), perGroup: le.Uint32(sb[0x28:]), descSize: 32}
	if incompat&extIncompat64 != 0 {
		e.descSize = int64(le.Uint16(sb[0xFE:]))
	}
	inodes := le.Uint32(sb)
	if e.inodeSize < 128 || e.inodeSize > e.block || e.perGroup == 0 || inodes == 0 || e.descSize < 32 || e.descSize > e.block {
		return nil, errExt
	}
	e.groups = (inodes-1)/e.perGroup + 1
	e.descriptors = (int64(le.Uint32(sb[0x14:])) + 1) * e.block
	free, reserved := int64(le.Uint32(sb[0xC:])), int64(le.Uint32(sb[0x8:]))
	e.free = max(0, free-reserved) * e.block
	const rootInode = 2
	root, err := e.inode(rootInode)
	if err == nil {
		err = e.readRoot(root)
	}
	return e, err
}

// Free is how many bytes anybody but root may still write.
func (e *Ext) Free() int64 { return e.free }

// An extInode is what is needed of an inode.
type extInode struct {
	regular bool
	size    int64
	extents []extent
}

// An extent is a run of blocks of a file; disk is -1 of one that reads as
// zeros.
type extent struct{ file, disk, blocks int64 }

func (e *Ext) inode(number uint32) (extInode, error) {
	group := (number - 1) / e.perGroup
	if number == 0 || group >= e.groups {
		return extInode{}, fmt.Errorf("%w: inode %d", errExt, number)
	}
	desc := make([]byte, e.descSize)
	if _, err := e.r.ReadAt(desc, e.descriptors+int64(group)*e.descSize); err != nil {
		return extInode{}, err
	}
	le := binary.LittleEndian
	table := int64(le.Uint32(desc[8:]))
	if e.descSize >= 64 {
		table |= int64(le.Uint32(desc[0x28:])) << 32
	}
	raw := make([]byte, 128)
	if _, err := e.r.ReadAt(raw, e.offset(table)+int64((number-1)%e.perGroup)*e.inodeSize); err != nil {
		return extInode{}, err
	}
	const usesExtents = 0x80000
	if le.Uint32(raw[0x20:])&usesExtents == 0 {
		return extInode{}, fmt.Errorf("%w: inode %d has no extents", errExt, number)
	}
	i := extInode{regular: le.Uint16(raw)&0xF000 == 0x8000, size: int64(le.Uint32(raw[4:])) | int64(le.Uint32(raw[0x6C:]))<<32}
	err := e.extents(raw[0x28:0x28+60], &i.extents, maxExtDepth)
	return i, err
}

// offset is where a block begins; of a nonsensical one, behind every disk.
func (e *Ext) offset(block int64) int64 {
	const most = 1 << 46
	if block < 0 || block > most/e.block {
		return most
	}
	return block * e.block
}

// extents adds those of a node of the tree.
func (e *Ext) extents(node []byte, to *[]extent, depth int) error {
	le := binary.LittleEndian
	count, isLeaf := int(le.Uint16(node[2:])), le.Uint16(node[6:]) == 0
	if le.Uint16(node) != 0xF30A || 12+count*12 > len(node) || depth == 0 || len(*to)+count > maxExtents {
		return fmt.Errorf("%w: its tree of extents", errExt)
	}
	for ; count > 0; count-- {
		node = node[12:]
		if isLeaf {
			x := extent{int64(le.Uint32(node[0:4])), int64(le.Uint32(node[8:12])) | int64(le.Uint16(node[6:8]))<<32, int64(le.Uint16(node[4:6]))}
			const unwritten = 1 << 15
			if x.blocks > unwritten {
				x.blocks, x.disk = x.blocks-unwritten, -1
			}
			*to = append(*to, x)
			continue
		}
		child := make([]byte, e.block)
		at := int64(le.Uint32(node[4:8])) | int64(le.Uint16(node[8:10]))<<32
		if _, err := e.r.ReadAt(child, e.offset(at)); err != nil {
			return err
		}
		if err := e.extents(child, to, depth-1); err != nil {
			return err
		}
	}
	return nil
}

func (e *Ext) readRoot(root extInode) error {
	if root.size > maxExtDirectory {
		return fmt.Errorf("%w: a root directory of %d bytes", errExt, root.size)
	}
	b := make([]byte, root.size)
	if _, err := io.ReadFull(io.NewSectionReader(extReader{e, root}, 0, root.size), b); err != nil {
		return err
	}
	e.entries = map[string]uint32{}
	for len(b) >= 8 {
		number, length, name := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[4:])), int(b[6])
		if length < 8 || length > len(b) || 8+name > length {
			return fmt.Errorf("%w: its root directory", errExt)
		}
		if number != 0 && fs.ValidPath(string(b[8:8+name])) {
			e.entries[string(b[8:8+name])] = number
		}
		b = b[length:]
	}
	return nil
}

// An extReader reads a file's bytes.
type extReader struct {
	e *Ext
	i extInode
}

func (x extReader) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) && err == nil {
		if offset >= x.i.size {
			return n, io.EOF
		}
		got := min(int64(len(p)-n), x.i.size-offset, x.e.block-offset%x.e.block)
		part := p[n : n+int(got)]
		clear(part)
		if at := x.find(offset / x.e.block); at >= 0 {
			_, err = x.e.r.ReadAt(part, x.e.offset(at)+offset%x.e.block)
		}
		n, offset = n+int(got), offset+got
	}
	return n, err
}

// find is where a block of the file lies; -1 of a hole.
func (x extReader) find(block int64) int64 {
	for _, run := range x.i.extents {
		if block >= run.file && block < run.file+run.blocks && run.disk >= 0 {
			return run.disk + block - run.file
		}
	}
	return -1
}

// Open opens a regular file of the root directory, or "." itself.
func (e *Ext) Open(name string) (fs.File, error) {
	if name == "." {
		entries, err := e.ReadDir(".")
		return &extDir{extFile: extFile{name: "."}, entries: entries}, err
	}
	number, ok := e.entries[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	i, err := e.inode(number)
	if err == nil && !i.regular {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &extFile{io.NewSectionReader(extReader{e, i}, 0, i.size), name, i}, nil
}

// ReadDir lists the regular files of the root directory, the only one.
func (e *Ext) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var all []fs.DirEntry
	for name, number := range e.entries {
		if i, err := e.inode(number); err == nil && i.regular {
			all = append(all, fs.FileInfoToDirEntry(extFile{name: name, i: i}))
		}
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}

// An extFile is an open file, and its own fs.FileInfo.
type extFile struct {
	*io.SectionReader
	name string
	i    extInode
}

func (f extFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f extFile) Close() error               { return nil }
func (f extFile) Name() string               { return f.name }
func (f extFile) Size() int64                { return f.i.size }
func (f extFile) ModTime() time.Time         { return time.Time{} }
func (f extFile) IsDir() bool                { return f.name == "." }
func (f extFile) Sys() any                   { return nil }
func (f extFile) Mode() fs.FileMode {
	if f.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// An extDir is the root directory, opened.
type extDir struct {
	extFile
	entries []fs.DirEntry
}

func (d *extDir) Read([]byte) (int, error) { return 0, fs.ErrInvalid }

// ReadDir gives the next n entries; all that are left where n is not positive.
func (d *extDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	first := d.entries[:n]
	d.entries = d.entries[n:]
	return first, nil
}
