package disk

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"psyopsOS/step"
)

const (
	sector  = 512
	block   = 4096 // what a disk may write, and lose, at once
	minimum = 65525
)

// FATOptions describe a FAT32 filesystem.
type FATOptions struct {
	Label     string // up to 11 of A-Z 0-9 _ -
	SizeBytes int64
	VolumeID  uint32
	// ClusterSize is in bytes, 512 to 4096; 0 means FAT32ClusterSize's.
	ClusterSize int64
}

// FAT32ClusterSize is the largest cluster size up to 4 KiB with which size
// bytes are FAT32 for everybody: readers tell FAT16 from FAT32 by the number
// of clusters, of which FAT32 has 65,525 or more. That gives 4 KiB from 257
// MiB on and 512 bytes for 64 MiB.
func FAT32ClusterSize(size int64) (int64, error) {
	for c := int64(block); c >= sector; c /= 2 {
		// Each cluster has 4 bytes in each of two tables; 80 sectors are
		// more than what is reserved, rounded up.
		if (size-80*sector)/(c+8) >= minimum {
			return c, nil
		}
	}
	return 0, step.WithHint(fmt.Errorf("%s are too small for FAT32", step.Bytes(size)), "take 33 MiB or more")
}

// FAT makes a FAT32 filesystem at name that holds files, laid down without
// gaps in the order of the list, behind the folders. Clusters lie on aligned
// 4 KiB of the filesystem (of the disk too, where the partition does). All
// times are mtime, in UTC, from 1980 on. Where clusters are smaller than 4
// KiB, filler files FILLnn.PAD stand beside the files that want to be Alone.
func FAT(ctx context.Context, name string, o FATOptions, files []File, mtime time.Time) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the FAT filesystem %s in %s: %w", o.Label, name, err)
		}
	}()
	if o.ClusterSize == 0 {
		if o.ClusterSize, err = FAT32ClusterSize(o.SizeBytes); err != nil {
			return err
		}
	}
	if err := o.check(files); err != nil {
		return err
	}
	f := fat{tools: tools{dosTime(mtime)}, image: name, FATOptions: o}
	if err := f.format(ctx); err != nil {
		return err
	}
	return f.fill(ctx, files)
}

func (o FATOptions) check(files []File) error {
	if !regexp.MustCompile(`^[A-Z0-9_-]{1,11}$`).MatchString(o.Label) {
		return fmt.Errorf("label %q: want 1 to 11 of A-Z 0-9 _ -", o.Label)
	}
	if o.SizeBytes%block != 0 || o.ClusterSize < sector || o.ClusterSize > block || o.ClusterSize&(o.ClusterSize-1) != 0 {
		return fmt.Errorf("size %d, clusters of %d: want a multiple of 4096, and a power of two from 512 to 4096", o.SizeBytes, o.ClusterSize)
	}
	return check(append(allFillers(files), files...))
}

// dosTime is t where FAT can hold it, else the first instant that it can.
func dosTime(t time.Time) time.Time {
	if first := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); t.Before(first) {
		return first
	}
	return t
}

type fat struct {
	tools
	FATOptions
	image string
}

// format runs mkfs.fat with as many reserved sectors as put the first cluster
// on an aligned block. mkfs.fat's own alignment is to the cluster size, so
// that it does nothing for clusters of one sector. One sector more may make
// the tables smaller, so look again each time.
func (f fat) format(ctx context.Context) error {
	for reserved := 32; reserved < 80; {
		if err := create(f.image, f.SizeBytes); err != nil {
			return err
		}
		// --invariant fixes the time of the volume label's entry.
		_, _, err := f.run(ctx, nil, "mkfs.fat", "--invariant", "-a", "-F", "32", "-f", "2", "-S", "512", "-g", "255/63",
			"-s", strconv.FormatInt(f.ClusterSize/sector, 10), "-R", strconv.Itoa(reserved),
			"-i", fmt.Sprintf("%08X", f.VolumeID), "-n", f.Label, f.image)
		if err != nil {
			return err
		}
		g, err := readGeometry(f.image)
		if err != nil {
			return err
		}
		off := g.data % (block / sector)
		if off == 0 {
			return nil
		}
		reserved += block/sector - off
	}
	return fmt.Errorf("no number of reserved sectors puts the clusters on aligned 4 KiB")
}

// geometry is where a FAT32 filesystem has what, in sectors of 512 bytes.
type geometry struct {
	data        int   // where cluster 2 begins
	lastCluster int64 // the highest cluster there is
}

func readGeometry(image string) (geometry, error) {
	f, err := os.Open(image)
	if err != nil {
		return geometry{}, err
	}
	defer f.Close()
	var boot [sector]byte
	if _, err := f.ReadAt(boot[:], 0); err != nil {
		return geometry{}, fmt.Errorf("read the boot sector: %w", err)
	}
	le := binary.LittleEndian
	tables := int(boot[16]) * int(le.Uint32(boot[36:]))
	g := geometry{data: int(le.Uint16(boot[14:])) + tables}
	g.lastCluster = 1 + (int64(le.Uint32(boot[32:]))-int64(g.data))/int64(boot[13])
	return g, nil
}
