package upgrade

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

// Inspect looks at the node, and changes nothing: volumes are mounted
// read-only, without replaying a journal, and unmounted again. What it cannot
// see stands in the volumes' Err.
func Inspect(e Env, s Settings, keys release.Keys) (State, error) {
	return inspect(inspector{e: e, keys: keys}, s)
}

// InspectFully also reads kernel and initramfs of both sides, as GRUB does
// before it loads them. That takes seconds.
func InspectFully(e Env, s Settings, keys release.Keys) (State, error) {
	return inspect(inspector{e: e, keys: keys, fully: true}, s)
}

func inspect(i inspector, s Settings) (State, error) {
	e := i.e
	report, _, err := readReport(e.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return State{}, err
	}
	if i.images, _ = e.Storage.(*images); i.images != nil {
		report = boot.Report{} // of this machine, not of the disk in the file
	}
	state := State{Booted: report.Side, Why: bootstate.Why(report.Why)}
	state.BootedVersion, _ = report.Facts["release"].(string)
	state.InRAM = report.Facts["toram"] == true
	var judged bool
	if state.Unhealthy, judged, err = unhealthy(e.Root); err != nil {
		return State{}, err
	}
	state.Unjudged = report.Side != "" && !judged
	if side, ok := layout.SideOf(strings.ToUpper(s.BootedMock)); ok {
		state.Booted, state.BootedVersion, state.Unjudged = side, "", false
	} else if s.BootedMock != "" {
		return State{}, fmt.Errorf("--booted-mock %q: want a or b", s.BootedMock)
	}
	if !s.allMocks() {
		if err := i.look(report); err != nil {
			return State{}, err
		}
		state.BootedDisk, state.BootedMissing = i.disk, report.Disk != "" && i.disk == ""
	}
	state.A, state.B = i.side(s.A), i.side(s.B)
	state.Firmware = i.firmware(s.EFISystem)
	state.Loader = i.loader(state.Firmware)
	state.Loader.Running, state.Loader.ChangedNow = report.Loader, isChanged(e.Root)
	return state, nil
}

func (s Settings) allMocks() bool { return s.A.Mock && s.B.Mock && s.EFISystem.Mock }

// An inspector is one look.
type inspector struct {
	e        Env
	keys     release.Keys
	fully    bool
	volumes  []mounts.Volume
	points   []mounts.MountPoint
	loops    []mounts.Loop
	partUUID string // of the booted side
	disk     string // the booted one
	images   *images
}

func (i *inspector) look(report boot.Report) (err error) {
	if i.volumes, err = mounts.FindLabels(i.e.Storage); err != nil {
		return err
	}
	if i.points, err = i.e.Storage.Mounts(); err != nil {
		return err
	}
	if i.loops, err = i.e.Storage.Loops(); err != nil {
		return err
	}
	i.partUUID = report.Disk
	i.disk, _ = mounts.BootedDisk(i.volumes, i.partUUID)
	return nil
}

// volume finds a volume: by the device that was named, else by label on the
// booted disk.
func (i *inspector) volume(s VolumeSettings) (v Volume, found mounts.Volume) {
	v = Volume{Label: s.Label, MountPoint: filepath.Join(i.e.Root, s.MountPoint), Mock: s.Mock}
	if s.Mock {
		return v, mounts.Volume{}
	}
	if s.Device != "" {
		for _, candidate := range i.volumes {
			if candidate.Path() == s.Device {
				v.Device = candidate.Device
				return v, candidate
			}
		}
		v.Err = fmt.Errorf("no device %s", s.Device)
		return v, mounts.Volume{}
	}
	found, duplicates, err := mounts.Choose(i.volumes, layout.Label(s.Label), i.partUUID)
	v.Device, v.Err = found.Device, err
	for _, d := range duplicates {
		v.Duplicates = append(v.Duplicates, d.Path())
	}
	// A volume that is gone from the booted disk is not replaced by another
	// disk's.
	if err == nil && i.disk != "" && found.Disk != i.disk {
		v.Device, v.Err = mounts.Device{}, fmt.Errorf("no volume labelled %s is where it belongs: one is on %s, but %s was booted", s.Label, found.Disk, i.disk)
	}
	return v, found
}

// with gives a function the volume's files, wherever they are mounted, or
// mounts them for so long.
func (i *inspector) with(v *Volume, filesystem string, do func(root string) error) error {
	if v.Err != nil {
		return v.Err
	}
	if v.Mock {
		return do(v.MountPoint)
	}
	if i.isImage(*v) {
		more := []string{}
		if i.fully {
			more = []string{layout.Kernel, layout.Initramfs}
		}
		free, err := i.images.extract(v.Device.Name, filesystem, more, do)
		v.free = free
		return err
	}
	for _, p := range i.points {
		if p.Source == v.Device.Path() && p.Root == "/" {
			return do(p.Path)
		}
	}
	m := mounts.Mount{Source: v.Device.Path(), Target: v.MountPoint, Type: filesystem,
		Flags: mounts.ReadOnly | mounts.NoDev | mounts.NoSUID | mounts.NoExec}
	if filesystem == "ext4" {
		m.Data = "noload"
	}
	return mounts.With(i.e.Storage, m, do)
}

func (i *inspector) isImage(v Volume) bool {
	if i.images == nil {
		return false
	}
	_, ok := i.images.parts[v.Device.Name]
	return ok
}

// users are what an update must not pull the ground away from.
func (i *inspector) users(v Volume) (users []string) {
	if v.Mock || v.Err != nil {
		return nil
	}
	if i.isImage(v) {
		return i.images.loops(v.Device.Name, i.loops)
	}
	for _, p := range i.points {
		if p.Source == v.Device.Path() {
			users = append(users, fmt.Sprintf("mounted at %s", p.Path))
			for _, l := range i.loops {
				if strings.HasPrefix(l.File, p.Path+"/") {
					users = append(users, fmt.Sprintf("%s is %s", l.Device, l.File))
				}
			}
		}
	}
	return users
}

func (i *inspector) side(s VolumeSettings) Side {
	v, found := i.volume(s)
	side := Side{Volume: v, Recovery: found.NeedsRecovery}
	side.Users = i.users(v)
	if side.Err == nil {
		side.Err = i.with(&v, found.Type, func(root string) error { return i.readSide(root, &side) })
		// What a power cut in the middle of an apply has left may be readable
		// only with its journal, which whoever writes the side anew replays.
		if side.Err != nil && side.Recovery {
			side.Incomplete = "its journal is not written back: " + side.Err.Error()
			side.Room, side.Err = v.Device.Size, nil
		}
	}
	if errors.Is(side.Err, syscall.EBADMSG) || errors.Is(side.Err, syscall.EUCLEAN) {
		// The kernel's words for a wrong checksum. A power cut within the write
		// of ext4's superblock leaves one: no journal has that.
		side.Err = step.WithHint(fmt.Errorf("its file system is damaged: %w", side.Err),
			"`e2fsck -y %s` mends it, here or on another machine; then run this again", v.Device.Path())
	}
	if i.isImage(v) {
		side.Room = v.free
	}
	if side.Err != nil && side.Incomplete == "" {
		side.Incomplete = side.Err.Error()
	}
	return side
}

// readSide reads what the side says of itself, and believes it only with a
// signature. Its files are not hashed: that takes seconds.
func (i *inspector) readSide(root string, side *Side) (err error) {
	if side.Room, err = room(root); err != nil {
		return err
	}
	signatures, err := signaturesAt(root, layout.OSTarSignature)
	if errors.Is(err, fs.ErrNotExist) {
		side.Incomplete = "there is no " + layout.OSTarSignature
		return nil
	}
	if err != nil {
		return err
	}
	if side.Info, err = i.keys.Info(signatures...); err != nil {
		side.Incomplete = err.Error()
		return nil
	}
	files := os.DirFS(root)
	if !isThere(files, layout.Manifest) && !isThere(files, layout.BootSum) {
		side.Legacy = true
		return nil
	}
	if _, err := readBootSum(root); err != nil {
		side.Incomplete, side.Unsummed = err.Error(), isThere(files, layout.Manifest)
		return nil
	}
	if i.fully {
		if err := bootstate.CheckSide(files); err != nil {
			side.Damaged = err.Error()
		}
	}
	return nil
}

func readBootSum(root string) (bootstate.BootSum, error) {
	text, err := readBounded(filepath.Join(root, layout.BootSum), 4<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return bootstate.BootSum{}, fmt.Errorf("there is no %s", layout.BootSum)
	}
	if err != nil {
		return bootstate.BootSum{}, err
	}
	return bootstate.ParseBootSum(text)
}

func (i *inspector) firmware(s VolumeSettings) Firmware {
	v, _ := i.volume(s)
	f := Firmware{Volume: v}
	for _, p := range i.points {
		if v.Err == nil && !v.Mock && p.Source == v.Device.Path() && !strings.HasPrefix(p.SuperOptions+",", "ro,") {
			f.Users = append(f.Users, "mounted read-write at "+p.Path)
		}
	}
	if f.Err != nil {
		return f
	}
	if waiting, err := i.espSignatures(v, layout.ESPTarWaiting); err == nil && len(waiting) > 0 {
		f.Waiting, _ = i.keys.Info(waiting...) // who vouches for nothing commits nothing
	}
	signatures, err := i.espSignatures(v, layout.ESPTarSignature)
	if err != nil {
		f.Unsigned = err.Error()
	} else if len(signatures) == 0 {
		f.Unsigned = "there is no " + layout.ESPTarSignature
	} else if f.Info, err = i.keys.Info(signatures...); err != nil {
		f.Unsigned = err.Error()
	}
	return f
}

// espSignatures reads the signatures of the partition's release from the
// partition itself, as it is written: merely to mount it could change it.
func (i *inspector) espSignatures(v Volume, name string) (signatures [][]byte, err error) {
	if v.Mock {
		signatures, err := signaturesAt(v.MountPoint, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return signatures, err
	}
	block, err := i.e.Storage.Open(v.Device.Name)
	if err != nil {
		return nil, err
	}
	defer block.Close()
	names, err := namesOf(block, name)
	if err != nil {
		return nil, err
	}
	for _, name := range names[:min(len(names), release.MaxSignatures)] {
		text, err := bootstate.ReadWhole(block, name, release.MaxSignature)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, text)
	}
	return signatures, nil
}

// loader reads the boot loader's state past the page cache's mounts, from the
// partitions themselves.
func (i *inspector) loader(f Firmware) Loader {
	l := Loader{}
	if f.Err != nil || f.Mock {
		l.Missing = errors.Join(errors.New("no EFI system partition"), f.Err)
		if second, ok := i.second(i.disk); ok && f.Err != nil {
			l.Missing = step.WithHint(fmt.Errorf("the first EFI system partition is dead, and nothing can be written there: this machine starts by the second one, on %s (%w)", second.Path(), f.Err),
				"it boots the committed side for as long as that lives; `tk node image` and `tk write` make a new disk")
		}
		return l
	}
	first, err := i.e.Storage.Open(f.Device.Name)
	if err != nil {
		l.Missing = err
		return l
	}
	defer first.Close()
	l.First = f.Device.Path()
	var second io.ReaderAt
	if v, ok := i.second(f.Device.Disk); ok {
		block, err := i.e.Storage.Open(v.Name)
		if err != nil {
			l.Missing = err
			return l
		}
		defer block.Close()
		second, l.Second = block, v.Path()
	}
	l.read(first, second)
	l.On1, l.Once = loaderAt(first, layout.Loader), i.once(f, first)
	if second != nil {
		l.On2 = loaderAt(second, layout.Loader)
	}
	return l
}

// second is the second EFI system partition of a disk.
func (i *inspector) second(disk string) (mounts.Volume, bool) {
	for _, v := range i.volumes {
		if v.Err == nil && v.Label == string(layout.EFISystem2) && v.Disk == disk {
			return v, true
		}
	}
	return mounts.Volume{}, false
}

func (l *Loader) read(first, second io.ReaderAt) {
	l.Copies = bootstate.ReadCopies(first, second)
	l.State, l.Picked = bootstate.Pick(l.Copies.State1, l.Copies.State2)
	l.Same = l.Picked != 0 && string(l.Copies.State1) == string(l.Copies.State2)
	l.Tries, l.Fail = bootstate.ParseTries(l.Copies.Tries), bootstate.ParseFail(l.Copies.Fail)
	if l.Picked != 0 {
		return
	}
	l.Missing = errors.Join(append([]error{errors.New("no valid copy of the boot loader's state")}, l.Copies.Errors...)...)
	if text, err := bootstate.ReadFile(first, layout.LegacyGrubCfg); err == nil {
		if menu, ok := ParseLegacyMenu(text); ok {
			l.Legacy, l.Missing = &menu, errors.New("this disk was made by the first psyopsOS: it has no state files")
		}
	}
}
