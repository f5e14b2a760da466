package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"psyopsOS/step"
)

const mebibyte = 1 << 20

// Partition types.
const (
	TypeEFISystem = string(gpt.EFISystemPartition)
	TypeLinux     = string(gpt.LinuxFilesystem)
)

// A Partition is one entry of the table and what it holds.
type Partition struct {
	Number    int
	Label     string // the partition's name, up to 36 characters
	TypeGUID  string
	PartGUID  string
	SizeBytes int64  // whole MiB
	Content   string // an image file of at most that size; empty: all zero
}

// A Disk is what Image makes.
type Disk struct {
	GUID       string
	Partitions []Partition // in disk order
}

// Size is how many bytes the disk has: 1 MiB for the table before the first
// partition, and 1 MiB for its copy behind the last.
func (d Disk) Size() int64 {
	size := int64(2 * mebibyte)
	for _, p := range d.Partitions {
		size += p.SizeBytes
	}
	return size
}

// Image writes the disk to name, sparse: blocks of zeroes become holes. Every
// partition begins at a whole MiB, the first at 1 MiB.
func Image(ctx context.Context, name string, d Disk, progress Progress) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the disk image %s: %w", name, err)
		}
	}()
	if err := d.Check(); err != nil {
		return err
	}
	if err := create(name, d.Size()); err != nil {
		return err
	}
	out, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := d.copyContents(ctx, out, progress); err != nil {
		return err
	}
	return d.table().Write(writable{out}, d.Size())
}

// Check refuses what cannot become a table.
func (d Disk) Check() error {
	if !guidForm.MatchString(d.GUID) {
		return fmt.Errorf("disk GUID %q: want the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", d.GUID)
	}
	seen := map[string]string{strings.ToLower(d.GUID): "the disk"}
	numbers := map[int]bool{}
	for _, p := range d.Partitions {
		who := fmt.Sprintf("partition %d (%s)", p.Number, p.Label)
		if !guidForm.MatchString(p.TypeGUID) || !guidForm.MatchString(p.PartGUID) {
			return fmt.Errorf("%s: type %q, GUID %q: want the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", who, p.TypeGUID, p.PartGUID)
		}
		if twin, ok := seen[strings.ToLower(p.PartGUID)]; ok {
			return fmt.Errorf("%s: %s has the GUID %s too", who, twin, p.PartGUID)
		}
		seen[strings.ToLower(p.PartGUID)] = who
		if p.Number < 1 || p.Number > 128 || numbers[p.Number] {
			return fmt.Errorf("%s: want numbers from 1 to 128, each once", who)
		}
		numbers[p.Number] = true
		if p.SizeBytes <= 0 || p.SizeBytes%mebibyte != 0 {
			return fmt.Errorf("%s: size %d: want whole MiB", who, p.SizeBytes)
		}
	}
	return nil
}

func (d Disk) table() *gpt.Table {
	t := &gpt.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true, GUID: d.GUID}
	start := uint64(mebibyte / sector)
	for _, p := range d.Partitions {
		sectors := uint64(p.SizeBytes / sector)
		t.Partitions = append(t.Partitions, &gpt.Partition{Index: p.Number, Start: start, End: start + sectors - 1,
			Size: uint64(p.SizeBytes), Type: gpt.Type(strings.ToUpper(p.TypeGUID)), Name: p.Label, GUID: p.PartGUID})
		start += sectors
	}
	return t
}

// copyContents copies every partition's content to its place.
func (d Disk) copyContents(ctx context.Context, out *os.File, progress Progress) error {
	var total, done int64
	for _, p := range d.Partitions {
		if p.Content == "" {
			continue
		}
		info, err := os.Stat(p.Content)
		if err != nil {
			return err
		}
		if info.Size() > p.SizeBytes {
			err := fmt.Errorf("partition %d (%s) has %s, but its content %s has %s", p.Number, p.Label,
				step.Bytes(p.SizeBytes), p.Content, step.Bytes(info.Size()))
			return step.WithHint(err, "make the partition larger")
		}
		total += info.Size()
	}
	start := int64(mebibyte)
	for _, p := range d.Partitions {
		if p.Content != "" {
			n, err := copySparse(ctx, out, start, p.Content, func(n int64) { progress.tell(done+n, total) })
			if err != nil {
				return fmt.Errorf("copy %s to partition %d: %w", p.Content, p.Number, err)
			}
			done += n
		}
		start += p.SizeBytes
	}
	return nil
}

// Regenerate gives the disk (an image or a block device) a new GUID and its
// partitions new ones, and puts the table's copy at the very end: after one
// image was written to two media, they must not be taken for each other, and
// the medium is larger than the image.
func Regenerate(name string, random io.Reader) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("give %s its own GUIDs: %w", name, err)
		}
	}()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	table, err := gpt.Read(file.New(f, false), sector, sector)
	if err != nil {
		return err
	}
	if table.GUID, err = randomGUID(random); err != nil {
		return err
	}
	for _, p := range table.Partitions {
		if p.GUID, err = randomGUID(random); err != nil {
			return err
		}
	}
	table.Resize(uint64(size))
	return table.Write(f, size)
}

// writable hides Sync from go-diskfs, which would flush an image that nobody
// uses yet to the medium four times.
type writable struct{ backend.WritableFile }
