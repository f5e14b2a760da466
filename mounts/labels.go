package mounts

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// A Volume is a device and what is on it.
type Volume struct {
	Device
	Filesystem
	// Err is why nothing is known of the contents: ErrUnknown, or what reading
	// it met (a drive without a medium, a dying disk).
	Err error
}

// FindLabels looks at every device that may be a volume: partitions, and disks
// that have none. That one of them cannot be read stands in its Err; the error
// is of the list of devices itself.
func FindLabels(sys System) ([]Volume, error) {
	devices, err := sys.Devices()
	if err != nil {
		return nil, err
	}
	var volumes []Volume
	for _, d := range devices {
		if isStorage(d.Name) && d.Size > 0 && !isPartitioned(devices, d) {
			volumes = append(volumes, Volume{Device: d})
		}
	}
	// Side by side: a disk that has to spin up, or is dying, keeps no other.
	var wait sync.WaitGroup
	for i := range volumes {
		wait.Go(func() { volumes[i].look(sys) })
	}
	wait.Wait()
	return volumes, nil
}

func (v *Volume) look(sys System) {
	v.Err = step.Guard(func() error { // a panic on a goroutine of its own would end PID 1
		block, err := sys.Open(v.Name)
		if err != nil {
			return err
		}
		defer block.Close()
		v.Filesystem, err = Probe(block)
		return err
	})
}

// isStorage leaves out what can hold no volume of ours. A floppy drive without
// a disk takes seconds to say so.
func isStorage(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "fd"} {
		digits := strings.TrimPrefix(name, prefix)
		if digits != name && digits != "" && strings.Trim(digits, "0123456789") == "" {
			return false
		}
	}
	return name != ""
}

func isPartitioned(devices []Device, disk Device) bool {
	return disk.Partition == 0 && slices.ContainsFunc(devices, func(d Device) bool {
		return d.Partition != 0 && d.Disk == disk.Name
	})
}

// BootedDisk is the disk that holds the partition of that PARTUUID.
func BootedDisk(volumes []Volume, partUUID string) (disk string, found bool) {
	for _, v := range volumes {
		if partUUID != "" && strings.EqualFold(v.PartUUID, partUUID) {
			return v.Disk, true
		}
	}
	return "", false
}

// Choose picks the volume with a label. The booted disk, the one with the
// partition of that PARTUUID, wins over others, and that partition over others
// on it; else the first. The others with that label are the duplicates. Where
// there is none it is a *LabelError.
func Choose(volumes []Volume, wanted layout.Label, booted string) (chosen Volume, duplicates []Volume, err error) {
	disk, _ := BootedDisk(volumes, booted)
	var candidates []Volume
	for near := range farthest + 1 {
		for _, v := range volumes {
			if v.Err == nil && v.Label == string(wanted) && distance(v, disk, booted) == near {
				candidates = append(candidates, v)
			}
		}
	}
	if len(candidates) == 0 {
		return Volume{}, nil, &LabelError{Wanted: wanted, Seen: volumes}
	}
	return candidates[0], candidates[1:], nil
}

// farthest is the distance of a volume on another disk.
const farthest = 2

func distance(v Volume, disk, booted string) int {
	switch {
	case disk == "" || v.Disk != disk:
		return farthest
	case !strings.EqualFold(v.PartUUID, booted):
		return 1
	}
	return 0
}

// A DuplicateError is a warning: several volumes have the label.
type DuplicateError struct {
	Label      layout.Label
	Chosen     Volume
	Duplicates []Volume
}

func (e *DuplicateError) Error() string {
	return "the label " + string(e.Label) + " is also on " + strings.Join(names(e.Duplicates), ", ") + "; using " + e.Chosen.Name
}

// Hint says what to do next.
func (e *DuplicateError) Hint() string {
	return "take the other disk out, or give its file systems other labels"
}

// isUnknown says that the device was read and holds nothing that we know.
func (v Volume) isUnknown() bool { return errors.Is(v.Err, ErrUnknown) }
