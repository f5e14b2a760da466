package boot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/step"
)

// findSide waits for the side's volume. The booted disk's is waited for until
// the time is over; only then does another disk's serve, and is named.
func (j *journey) findSide(ctx context.Context, r *step.Reporter) error {
	j.lookAgain(ctx, r)
	side, err := j.await(ctx, r, j.c.Side)
	if err != nil {
		return err
	}
	j.side = side
	r.Fact("device", side.Name, "%s is %s, %s", side.Label, side.Name, step.Bytes(side.Device.Size))
	return nil
}

// lookAgain is for a step that is repeated: what was plugged in while somebody
// was at the emergency shell has told its event to nobody.
func (j *journey) lookAgain(ctx context.Context, r *step.Reporter) {
	if j.sought {
		tellDrivers(r, j.drivers.Coldplug(ctx, nil))
	}
	j.sought = true
}

// search looks for a volume until it is found. What came after the storage
// drivers were loaded, and before anybody listened, has told its event to
// nobody: so after the first look in vain the hardware is asked once more.
// (An SD card is recognised some 40 ms after the driver of its slot is there.)
//
// As a rule the first look finds it, and nobody has to listen at all: a socket
// for uevents takes 7 ms of a processor that has not opened one before.
func (j *journey) search(ctx context.Context, r *step.Reporter, look func() (bool, error)) error {
	if found, err := look(); found || err != nil {
		return err
	}
	asked := false
	return mounts.Await(ctx, j.m.Storage, j.hotplug(ctx, r), func() (bool, error) {
		found, err := look()
		if found || err != nil || asked {
			return found, err
		}
		asked = true
		report := j.drivers.Coldplug(ctx, nil)
		tellDrivers(r, report)
		if len(report.Loaded) == 0 {
			return false, nil
		}
		return look()
	})
}

func (j *journey) await(ctx context.Context, r *step.Reporter, label layout.Label) (mounts.Volume, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, j.c.Wait, errWaited)
	defer cancel()
	var seen []mounts.Volume
	looks := 0
	err := j.search(waiting, r, func() (bool, error) {
		looks++
		var err error
		seen, err = mounts.FindLabels(j.m.Storage)
		return err == nil && onBootedDisk(seen, label, j.c.Disk), err
	})
	if err != nil && !errors.Is(err, errWaited) {
		return mounts.Volume{}, err
	}
	r.Fact("looks", looks, "")
	j.seen = seen
	found, duplicates, err := mounts.Choose(seen, label, j.c.Disk)
	if err != nil {
		var none *mounts.LabelError
		if errors.As(err, &none) {
			none.Waited = j.c.Wait
		}
		return mounts.Volume{}, err
	}
	j.warnDuplicates(r, label, found, duplicates)
	if j.c.Disk != "" && !onBootedDisk(seen, label, j.c.Disk) {
		r.Warn(step.WithHint(fmt.Errorf("the booted disk (partition %s) has no volume labelled %s; %s is used", j.c.Disk, label, found.Name),
			"is a driver missing, or was the disk pulled? modules= and psyopsos.wait= help"))
	}
	return found, nil
}

// findDuplicates looks again when all drivers are there, where another disk
// came with them: it may have the same labels as the side's and psyops-secret's.
func (j *journey) findDuplicates(ctx context.Context, r *step.Reporter) error {
	names, err := j.m.Storage.DeviceNames()
	if err != nil || !slices.ContainsFunc(names, j.isUnseen) {
		return err
	}
	seen, err := mounts.FindLabels(j.m.Storage)
	if err != nil {
		return err
	}
	for label, chosen := range map[layout.Label]mounts.Volume{j.c.Side: j.side, layout.Secret: j.secret} {
		if chosen.Name == "" {
			continue
		}
		j.warnDuplicates(r, label, chosen, slices.DeleteFunc(slices.Clone(seen), func(v mounts.Volume) bool {
			return v.Name == chosen.Name || v.Label != string(label)
		}))
	}
	return nil
}

// isUnseen reports whether nothing is known of a device yet.
func (j *journey) isUnseen(name string) bool {
	return !slices.ContainsFunc(j.seen, func(v mounts.Volume) bool { return v.Name == name || v.Disk == name })
}

// warnDuplicates names each duplicate once.
func (j *journey) warnDuplicates(r *step.Reporter, label layout.Label, chosen mounts.Volume, others []mounts.Volume) {
	others = slices.DeleteFunc(slices.Clone(others), func(v mounts.Volume) bool { return j.warned[v.Name] })
	if len(others) == 0 {
		return
	}
	r.Warn(&mounts.DuplicateError{Label: label, Chosen: chosen, Duplicates: others})
	for _, v := range others {
		j.warned[v.Name] = true
	}
}

var errWaited = errors.New("waited long enough")

// onBootedDisk reports whether the search may end. Where the boot loader does
// not name the disk, any disk is right.
func onBootedDisk(seen []mounts.Volume, label layout.Label, partUUID string) bool {
	chosen, _, err := mounts.Choose(seen, label, partUUID)
	if err != nil || partUUID == "" {
		return err == nil
	}
	booted, found := mounts.BootedDisk(seen, partUUID)
	return found && chosen.Disk == booted
}

// findPlainRoot waits for root=: a device, LABEL=, UUID= or PARTUUID=.
func (j *journey) findPlainRoot(ctx context.Context, r *step.Reporter) error {
	j.lookAgain(ctx, r)
	waiting, cancel := context.WithTimeoutCause(ctx, j.c.Wait, errWaited)
	defer cancel()
	var seen []mounts.Volume
	err := j.search(waiting, r, func() (bool, error) {
		var err error
		if seen, err = mounts.FindLabels(j.m.Storage); err != nil {
			return false, err
		}
		for _, v := range seen {
			if isPlainRoot(j.c.Root, v) {
				j.side = v
				return true, nil
			}
		}
		return false, nil
	})
	if errors.Is(err, errWaited) {
		var names []string
		for _, v := range seen {
			names = append(names, strings.TrimSpace(v.Name+" "+v.Label))
		}
		return step.WithHint(fmt.Errorf("no volume for root=%s after %v; saw %s", j.c.Root, j.c.Wait, strings.Join(names, ", ")),
			"root= takes /dev/NAME, LABEL=, UUID= or PARTUUID=")
	}
	return err
}

func isPlainRoot(root string, v mounts.Volume) bool {
	key, value, tagged := strings.Cut(root, "=")
	if !tagged {
		return root == v.Path()
	}
	switch key {
	case "LABEL":
		return value == v.Label
	case "UUID":
		return strings.EqualFold(value, v.UUID)
	case "PARTUUID":
		return strings.EqualFold(value, v.PartUUID)
	}
	return false
}
