package bootstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An Extent is where a file's bytes are on its partition.
type Extent struct {
	Offset     int64 // of the first byte
	Size       int64 // of the file
	Cluster    int64 // bytes of a cluster
	Contiguous bool  // the rest follows without a gap
}

// ErrNotFAT is a partition that holds no FAT file system.
var ErrNotFAT = errors.New("not a FAT file system")

// Locate finds a file on the FAT file system (12, 16 or 32) that fs holds. It
// knows names of the 8.3 kind only, in whatever case. It trusts nothing that
// it reads, and every loop ends.
func Locate(fs io.ReaderAt, path string) (Extent, error) {
	v, err := openFAT(fs)
	if err != nil {
		return Extent{}, err
	}
	node := entry{dir: true, cluster: v.rootCluster}
	for i, name := range strings.Split(path, "/") {
		if node, err = v.lookup(node, name, i == 0); err != nil {
			return Extent{}, fmt.Errorf("find %s: %w", path, err)
		}
	}
	if node.dir {
		return Extent{}, fmt.Errorf("find %s: it is a folder", path)
	}
	if node.size == 0 {
		return Extent{Cluster: v.clusterSize, Contiguous: true}, nil
	}
	chain, err := v.chain(node.cluster, (node.size+v.clusterSize-1)/v.clusterSize)
	if err != nil {
		return Extent{}, fmt.Errorf("find %s: %w", path, err)
	}
	e := Extent{v.offset(chain[0]), node.size, v.clusterSize, true}
	for i, c := range chain {
		e.Contiguous = e.Contiguous && c == chain[0]+uint32(i)
	}
	return e, nil
}

type fat struct {
	r           io.ReaderAt
	bits        int   // 12, 16 or 32
	table       int64 // offset of the FAT in use
	clusterSize int64
	data        int64 // offset of cluster 2
	clusters    uint32
	rootCluster uint32 // FAT32
	root        int64  // FAT12 and 16: offset of the root directory
	rootSize    int64
	tables      int64 // copies of the FAT, one behind the other
	tableSize   int64
	oneTable    bool  // only one of them counts
	info        int64 // FAT32: offset of the summary; 0: none
}

type entry struct {
	dir     bool
	cluster uint32
	size    int64
}

func openFAT(r io.ReaderAt) (fat, error) {
	var b [512]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return fat{}, fmt.Errorf("read the boot sector: %w", err)
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	sector, perCluster := u16(11), int64(b[13])
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 || perCluster == 0 || perCluster&(perCluster-1) != 0 {
		return fat{}, ErrNotFAT
	}
	reserved, tables, rootEntries := u16(14), int64(b[16]), u16(17)
	total, perTable := u16(19), u16(22)
	if total == 0 {
		total = u32(32)
	}
	v := fat{r: r, bits: 16, table: reserved * sector, clusterSize: sector * perCluster}
	if perTable == 0 {
		perTable = u32(36)
		v.bits, v.rootCluster = 32, uint32(u32(44))
		if active := u16(40); active&0x80 != 0 {
			v.table += (active & 0xf) * perTable * sector
			v.oneTable = true
		}
		if summary := u16(48); summary > 0 && summary < reserved {
			v.info = summary * sector
		}
	}
	v.tables, v.tableSize = tables, perTable*sector
	v.root = (reserved + tables*perTable) * sector
	v.rootSize = rootEntries * 32
	rootSectors := (v.rootSize + sector - 1) / sector
	v.data = v.root + rootSectors*sector
	clusters := (total - v.data/sector) / perCluster
	if reserved == 0 || tables == 0 || perTable == 0 || clusters < 1 || clusters > 0x0fffffff {
		return fat{}, ErrNotFAT
	}
	v.clusters = uint32(clusters)
	if v.bits == 16 && clusters < 4085 {
		v.bits = 12
	}
	return v, nil
}

func (v fat) offset(cluster uint32) int64 { return v.data + int64(cluster-2)*v.clusterSize }

// next is the cluster after c.
func (v fat) next(c uint32) (uint32, error) {
	var b [4]byte
	at, width := int64(c)*int64(v.bits)/8, (v.bits+7)/8
	if _, err := v.r.ReadAt(b[:width], v.table+at); err != nil {
		return 0, fmt.Errorf("read the FAT: %w", err)
	}
	n := binary.LittleEndian.Uint32(b[:])
	switch v.bits {
	case 12:
		if c&1 == 1 {
			n >>= 4
		}
		return n & 0xfff, nil
	case 32:
		n &= 0x0fffffff
	}
	return n, nil
}

// maxChain bounds a file: 256 MiB in clusters of 4 KiB.
const maxChain = 1 << 16

// chain lists n clusters from first.
func (v fat) chain(first uint32, n int64) ([]uint32, error) {
	if n > int64(v.clusters) || n > maxChain {
		return nil, fmt.Errorf("%d clusters in a file system of %d", n, v.clusters)
	}
	var list []uint32
	for c := first; ; {
		if c < 2 || c-2 >= v.clusters {
			return nil, fmt.Errorf("the chain leads to cluster %d of %d after %d of %d", c, v.clusters, len(list), n)
		}
		list = append(list, c)
		if int64(len(list)) == n {
			return list, nil
		}
		var err error
		if c, err = v.next(c); err != nil {
			return nil, err
		}
	}
}
