package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/node"
	"psyopsOS/step"
)

func nodeSecretVolume() command {
	return command{
		name: "secret-volume", args: "NAME FILE|DEVICE [--size MiB] [--force] [--overwrite DEVICE]",
		short:   "make a node's psyops-secret volume: an image, or on a partition or stick",
		example: "tk node secret-volume web1 /dev/sdb2 --overwrite /dev/sdb2",
	}.with("node", secretVolume)
}

// Sizes of a secret volume, in bytes. One that is larger than the largest is a
// disk named by mistake.
const (
	smallestVolume = 12 << 20
	largestVolume  = 8 << 30
)

func secretVolume(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
The volume is an ext4 filesystem labelled psyops-secret, which init finds on any
disk of the machine. An image file has mode 0600.
A device is overwritten only when --overwrite names it once more, when nothing
uses it, when it has between 12 MiB and 8 GiB, and when it is a psyops-secret
volume already or begins with zeroes. What was written is read back.
`+storeHelp)
	store := addStoreFlags(flags)
	size := flags.Int64("size", 128, "the filesystem's size in `MiB`; on a smaller device the device's")
	force := flags.Bool("force", false, "write over an image file that is there")
	overwrite := flags.String("overwrite", "", "yes, overwrite this `device`")
	words, err := flags.parse(e, args, 2, 2)
	if err != nil {
		return err
	}
	room := *size << 20
	if room < smallestVolume || room > largestVolume {
		return usagef("--size %d: want %d to %d", *size, smallestVolume>>20, largestVolume>>20)
	}
	record, err := storedNode(ctx, e, store, words[0])
	if err != nil {
		return err
	}
	target := words[1]
	info, err := os.Stat(target)
	switch {
	case err == nil && info.Mode()&fs.ModeDevice != 0:
		err = volumeOnDevice(ctx, record, target, *overwrite, room)
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a device", target)
	case err == nil && !*force:
		return step.WithHint(fmt.Errorf("%s is there already", target), "--force writes over it")
	default:
		err = volumeImage(ctx, record, target, room)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "%s is the psyops-secret volume of %s\n", target, record.Name)
	return nil
}

// secretFiles are a node's secrets for disk.Ext4; they touch no disk but that.
func secretFiles(r node.Record) []disk.File {
	var files []disk.File
	for _, name := range r.Names() {
		files = append(files, disk.File{Path: name, Data: r.Files[name].Reveal(), Mode: 0o600})
	}
	return files
}

// volumeImage makes the image file in one go. It grows in a folder that only
// its owner may enter.
func volumeImage(ctx context.Context, r node.Record, target string, size int64) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(target), ".psyops-secret-") // 0700
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Two volumes must not be taken for one another: their ids are random.
	seed := rand.Text()
	image := filepath.Join(dir, "volume")
	o := disk.Ext4Options{Label: string(layout.Secret), SizeBytes: size, Time: time.Now(),
		UUID: disk.DerivedGUID(seed, "filesystem"), HashSeed: disk.DerivedGUID(seed, "hash seed")}
	if err := disk.Ext4(ctx, image, o, secretFiles(r)); err != nil {
		return err
	}
	if err := os.Chmod(image, 0o600); err != nil {
		return err
	}
	return os.Rename(image, target)
}

func volumeOnDevice(ctx context.Context, r node.Record, device, overwrite string, size int64) (err error) {
	if overwrite != device {
		return step.WithHint(fmt.Errorf("%s is a device: all that is on it would be lost", device), "if it is the one, add --overwrite %s", device)
	}
	// O_EXCL of a block device is refused while anything in the kernel uses
	// it: mounts, swap, RAID, device mapper.
	f, err := os.OpenFile(device, os.O_RDWR|os.O_EXCL, 0)
	if err != nil {
		return step.WithHint(fmt.Errorf("open %s for nobody but us: %w", device, err), "is it mounted, or are you not allowed to write it?")
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	has, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := mayOverwrite(device, f, has); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "psyops-secret-") // 0700
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	image := filepath.Join(dir, "volume")
	if err := volumeImage(ctx, r, image, min(size, has>>20<<20)); err != nil {
		return err
	}
	return writeVolume(f, image)
}

// mayOverwrite refuses a device that is not one for a secret volume.
func mayOverwrite(name string, r io.ReaderAt, size int64) error {
	if size < smallestVolume || size > largestVolume {
		return step.WithHint(fmt.Errorf("%s has %s; a psyops-secret volume has between %s and %s", name, step.Bytes(size), step.Bytes(smallestVolume), step.Bytes(largestVolume)),
			"is it a whole disk? Name the partition")
	}
	has, err := mounts.Probe(r)
	switch {
	case err == nil && has.Type == "ext4" && has.Label == string(layout.Secret):
		return nil
	case err == nil:
		return step.WithHint(fmt.Errorf("%s holds %s labelled %q and no psyops-secret volume", name, has.Type, has.Label), "if it is the one, `wipefs --all %s` clears it", name)
	case !errors.Is(err, mounts.ErrUnknown):
		return fmt.Errorf("%s: %w", name, err)
	}
	head := make([]byte, 1<<20)
	if _, err := r.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if !bytes.Equal(head, make([]byte, len(head))) {
		return step.WithHint(fmt.Errorf("%s holds something that is no psyops-secret volume: it does not begin with zeroes", name), "if it is the one, clear its first MiB")
	}
	return nil
}

// writeVolume copies the image and reads it back.
func writeVolume(f *os.File, image string) error {
	from, err := os.Open(image)
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return sameBytes(f, from)
}

func sameBytes(got *os.File, want *os.File) error {
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; at += int64(len(a)) {
		n, err := want.ReadAt(a, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			return nil
		}
		if _, err := got.ReadAt(b[:n], at); err != nil {
			return fmt.Errorf("read back %s: %w", got.Name(), err)
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return fmt.Errorf("%s gives back other bytes than were written, near byte %d", got.Name(), at)
		}
	}
}
