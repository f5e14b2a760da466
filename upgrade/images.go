package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

// images are files in the place of devices: images of whole disks or of one
// volume, named by --efisys-dev, --a-dev and --b-dev. The machine's own disks
// are then left alone. What is only shown is read without a mount, and so by
// anybody; what is written is mounted through a loop device.
type images struct {
	mounts.System
	devices []mounts.Device
	parts   map[string]imagePart // by the device's name
	mixed   bool                 // some of the volumes are real devices
}

// An imagePart is where a volume lies in a file.
type imagePart struct {
	file        string
	start, size int64
}

// imageSector is what images are taken to be partitioned in.
const imageSector = 512

// withImages replaces files among the named devices by the volumes in them.
// Where there are none, it changes nothing.
func (c *call) withImages() error {
	i := &images{System: c.env.Storage, parts: map[string]imagePart{}}
	for _, v := range []*VolumeSettings{&c.EFISystem, &c.A, &c.B} {
		info, err := os.Stat(v.Device)
		if v.Device == "" || err != nil || !info.Mode().IsRegular() {
			i.mixed = i.mixed || v.Device != ""
			continue
		}
		if v.Device, err = i.add(v.Device, info.Size(), layout.Label(v.Label)); err != nil {
			return err
		}
	}
	if len(i.devices) == 0 {
		return nil
	}
	c.images = i
	open := c.env.OpenState
	c.env.OpenState = func(path string) (boot.StateDevice, error) {
		if part, ok := i.parts[path]; ok {
			return part.openState()
		}
		return open(path)
	}
	c.env.Storage, c.env.lock = i, i.devices[0].Disk
	return nil
}

// add adds a file's volumes, and gives the name of the one with the label: of
// an image of one volume, its only one.
func (i *images) add(name string, size int64, label layout.Label) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	table, err := mounts.ReadGPT(f, size, imageSector)
	if errors.Is(err, mounts.ErrNoGPT) {
		if _, err := mounts.Probe(f); err != nil {
			return "", step.WithHint(fmt.Errorf("%s: neither a disk with partitions nor a volume: %w", name, err), "want the image of a disk, as `tk mkimage diskimg` makes it, or of one of its volumes")
		}
		i.addPart(mounts.Device{Name: name, Size: size}, imagePart{name, 0, size})
		return name, nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	found := ""
	var seen []mounts.Volume
	for _, p := range table.Partitions {
		d := mounts.Device{Name: fmt.Sprintf("%s#%d", name, p.Number), Partition: p.Number, PartUUID: p.UUID, DiskUUID: table.DiskUUID, Size: p.Size}
		i.addPart(d, imagePart{name, p.Start, p.Size})
		filesystem, err := mounts.Probe(io.NewSectionReader(f, p.Start, p.Size))
		seen = append(seen, mounts.Volume{Device: d, Filesystem: filesystem, Err: err})
		if err == nil && filesystem.Label == string(label) {
			found = d.Name
		}
	}
	if found == "" {
		return "", fmt.Errorf("%s: %w", name, &mounts.LabelError{Wanted: label, Seen: seen})
	}
	return found, nil
}

func (i *images) addPart(d mounts.Device, part imagePart) {
	if _, ok := i.parts[d.Name]; ok {
		return
	}
	d.Disk, d.Node, d.SectorSize = part.file, d.Name, imageSector
	i.devices, i.parts[d.Name] = append(i.devices, d), part
}

// Devices are the volumes in the files.
func (i *images) Devices() ([]mounts.Device, error) {
	if !i.mixed {
		return i.devices, nil
	}
	real, err := i.System.Devices()
	return append(real, i.devices...), err
}

// Open opens a volume for reading.
func (i *images) Open(name string) (mounts.Block, error) {
	part, ok := i.parts[name]
	if !ok {
		return i.System.Open(name)
	}
	f, err := os.Open(part.file)
	if err != nil {
		return nil, err
	}
	return openPart{io.NewSectionReader(f, part.start, part.size), f}, nil
}

// openPart is a part of an open file.
type openPart struct {
	io.ReaderAt
	io.Closer
}

// Mount mounts a volume through a loop device, which goes with the mount.
func (i *images) Mount(m mounts.Mount) error {
	part, ok := i.parts[m.Source]
	if !ok {
		return i.System.Mount(m)
	}
	_, err := i.LoopMount(mounts.LoopMount{File: part.file, Offset: part.start, Size: part.size, Writable: m.Flags&mounts.ReadOnly == 0,
		Target: m.Target, Type: m.Type, Flags: m.Flags, Data: m.Data})
	if errors.Is(err, os.ErrPermission) {
		err = step.WithHint(err, "to write to a volume in a file it is mounted, which wants root")
	}
	return err
}

// loops are those that the file of a volume has already.
func (i *images) loops(name string, all []mounts.Loop) (users []string) {
	for _, l := range all {
		if part, ok := i.parts[name]; ok && l.File == part.file {
			users = append(users, fmt.Sprintf("%s is %s", l.Device, l.File))
		}
	}
	return users
}

// A statePart is a volume in a file, whose state files are written in place.
type statePart struct {
	*os.File
	part imagePart
}

func (p imagePart) openState() (boot.StateDevice, error) {
	f, err := os.OpenFile(p.file, os.O_RDWR|os.O_SYNC, 0)
	return statePart{f, p}, err
}

func (s statePart) SectorSize() int { return imageSector }

func (s statePart) ReadAt(b []byte, offset int64) (int, error) {
	return io.NewSectionReader(s.File, s.part.start, s.part.size).ReadAt(b, offset)
}

func (s statePart) WriteAt(b []byte, offset int64) (int, error) {
	if offset < 0 || offset+int64(len(b)) > s.part.size {
		return 0, fmt.Errorf("write %d bytes at %d of a volume of %d", len(b), offset, s.part.size)
	}
	return s.File.WriteAt(b, s.part.start+offset)
}

// extract gives a function a folder with the small files of a volume that is
// mounted nowhere: those by which a release is known and believed, and what
// more is asked for. free is how much room a release would have on the volume.
func (i *images) extract(name, filesystem string, more []string, do func(dir string) error) (free int64, err error) {
	volume, err := i.Open(name)
	if err != nil {
		return 0, err
	}
	defer volume.Close()
	dir, err := os.MkdirTemp("", "neuralupgrade-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if filesystem == "vfat" {
		return 0, extractFAT(volume, dir, do)
	}
	files, err := mounts.OpenExt(volume)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	old, err := taken(files)
	if err != nil {
		return 0, err
	}
	free = files.Free() + old
	entries, err := files.ReadDir(".")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if !slices.Contains(more, e.Name()) && !isProof(e.Name()) {
			continue
		}
		if err := copyOut(files, e.Name(), dir); err != nil {
			return 0, err
		}
	}
	return free, do(dir)
}

// extractFAT is extract of an EFI system partition.
func extractFAT(volume mounts.Block, dir string, do func(dir string) error) error {
	files, err := bootstate.ReadRoot(volume, release.MaxManifest, func(name string) bool {
		return name == layout.Manifest || strings.HasPrefix(name, layout.ESPTarSignature)
	})
	if err != nil {
		return err
	}
	for name, content := range files {
		if filepath.Base(name) != name {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return do(dir)
}

// isProof reports whether a release is known by a file.
func isProof(name string) bool {
	for _, p := range []string{layout.OSTarSignature, layout.ManifestSignature} {
		if name == p || strings.HasPrefix(name, p+".") {
			return true
		}
	}
	return name == layout.Manifest || name == layout.BootSum
}

// maxExtracted bounds a file that is copied out of an image.
const maxExtracted = 256 << 20

func copyOut(files *mounts.Ext, name, dir string) (err error) {
	from, err := files.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	limit := int64(maxExtracted)
	if isProof(name) {
		limit = release.MaxManifest + 1
	}
	to, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	_, err = io.Copy(to, io.LimitReader(from, limit))
	return err
}
