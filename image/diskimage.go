package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// DiskImageOptions say what a disk holds.
type DiskImageOptions struct {
	OSTar string       // for both sides; its signature lies beside it
	Keys  release.Keys // that must verify the release
	// The files of the two EFI system partitions in the order in which they
	// are to lie, with the boot loader's first state and its padding.
	ESP1, ESP2 []disk.File
	Secrets    []disk.File            // from SecretFiles or ReadSecTar
	Sizes      map[layout.Label]int64 // in bytes, whole MiB; layout's default where not given
	Scratch    string                 // folder for a copy of all that; empty: the system's
	Out        string
}

// DiskImage makes the image of a whole disk (FORMATS.md, section 1), both
// sides with the same release. GUIDs, UUIDs and times follow from the
// release's version, so that the same input gives the same bytes; whoever
// writes the image to a medium gives that its own GUIDs (disk.Regenerate).
func DiskImage(ctx context.Context, o DiskImageOptions, progress disk.Progress) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make a disk image of %s: %w", filepath.Base(o.OSTar), err)
		}
	}()
	scratch, err := os.MkdirTemp(o.Scratch, "psyopsOS-disk-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	side := filepath.Join(scratch, "side")
	manifest, err := WriteSide(ctx, side, o.OSTar, o.Keys)
	if err != nil {
		return err
	}
	mtime, err := release.VersionTime(manifest.Release)
	if err != nil {
		return err
	}
	volumes, err := o.volumes(side)
	if err != nil {
		return err
	}
	d := disk.Disk{GUID: disk.DerivedGUID(manifest.Release, "disk")}
	for _, v := range volumes {
		d.Partitions = append(d.Partitions, v.partition(manifest.Release, scratch))
	}
	if err := d.Check(); err != nil {
		return err
	}
	if err := makeVolumes(ctx, volumes, d.Partitions, manifest.Release, mtime); err != nil {
		return err
	}
	// Gone before it was written back, the copy costs no disk time.
	if err := os.RemoveAll(side); err != nil {
		return err
	}
	part := filepath.Join(filepath.Dir(o.Out), "."+filepath.Base(o.Out)+".part")
	if err := disk.Image(ctx, part, d, progress); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, o.Out)
}

// A volume is a partition to be, and its files.
type volume struct {
	layout.Volume
	bytes int64
	files []disk.File
}

// volumes lists the partitions in disk order, with what each holds.
func (o DiskImageOptions) volumes(side string) ([]volume, error) {
	var list []volume
	for _, v := range layout.Volumes() {
		vol := volume{Volume: v, bytes: v.DefaultMiB << 20}
		if size, ok := o.Sizes[v.Label]; ok {
			vol.bytes = size
		}
		switch {
		case v.Label.IsSide():
			var err error
			if vol.files, err = SideFiles(side, v.Label); err != nil {
				return nil, err
			}
		case v.Label == layout.EFISystem:
			vol.files = stateAlone(o.ESP1)
		case v.Label == layout.EFISystem2:
			vol.files = stateAlone(o.ESP2)
		case v.Label == layout.Secret:
			vol.files = o.Secrets
		}
		list = append(list, vol)
	}
	return list, nil
}

// stateAlone marks the boot loader's state files: each must survive a power
// cut in a write to another.
func stateAlone(files []disk.File) []disk.File {
	files = slices.Clone(files)
	states := []string{layout.State1, layout.State2, layout.Tries, layout.Fail, layout.Menu}
	for i := range files {
		files[i].Alone = files[i].Alone || slices.Contains(states, files[i].Path)
	}
	return files
}

func (v volume) partition(seed, dir string) disk.Partition {
	p := disk.Partition{Number: v.Number, Label: string(v.Label), TypeGUID: disk.TypeLinux, SizeBytes: v.bytes,
		PartGUID: disk.DerivedGUID(seed, "partition "+string(v.Label)), Content: filepath.Join(dir, string(v.Label)+".img")}
	if v.Filesystem == "vfat" {
		p.TypeGUID = disk.TypeEFISystem
	}
	return p
}

// makeVolumes makes the filesystems, side by side.
func makeVolumes(ctx context.Context, volumes []volume, parts []disk.Partition, seed string, mtime time.Time) error {
	errs := make([]error, len(volumes))
	var wait sync.WaitGroup
	for i, v := range volumes {
		wait.Go(func() { errs[i] = v.make(ctx, parts[i].Content, seed, mtime) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (v volume) make(ctx context.Context, name, seed string, mtime time.Time) error {
	label := string(v.Label)
	if v.Filesystem == "vfat" {
		o := disk.FATOptions{Label: label, SizeBytes: v.bytes, VolumeID: disk.DerivedVolumeID(seed, label)}
		return disk.FAT(ctx, name, o, v.files, mtime)
	}
	return disk.Ext4(ctx, name, disk.Ext4Options{Label: label, SizeBytes: v.bytes, Time: mtime,
		UUID: disk.DerivedGUID(seed, "filesystem "+label), HashSeed: disk.DerivedGUID(seed, "hash seed "+label)}, v.files)
}
