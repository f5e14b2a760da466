package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/bootstate"
	"psyopsOS/mounts"
	"psyopsOS/step"
)

// writeState does the writes, in order, if the disk is still the one that was
// looked at, in the state in which it was.
func writeState(e Env, writes []StateWrite, was bootstate.Copies, disk string, r *step.Reporter) error {
	if len(writes) == 0 {
		return nil
	}
	if err := sameDisk(e, writes, was, disk); err != nil {
		return err
	}
	for _, w := range writes {
		device, err := e.OpenState(w.Partition)
		if err != nil {
			return err
		}
		err = bootstate.Write(device, w.Path, w.Content, w.Mend)
		if err := errors.Join(err, device.Close()); err != nil {
			return fmt.Errorf("%s: %w", w.Partition, err)
		}
		r.Fact("state_write", w.Path, "")
	}
	return nil
}

// sameDisk refuses to write to another disk than the one that was looked at:
// sticks are swapped.
func sameDisk(e Env, writes []StateWrite, was bootstate.Copies, disk string) error {
	volumes, err := mounts.FindLabels(e.Storage)
	if err != nil {
		return err
	}
	points, err := e.Storage.Mounts()
	if err != nil {
		return err
	}
	for _, w := range writes {
		if err := stillThere(volumes, points, w.Partition, disk); err != nil {
			return err
		}
		v, err := deviceAt(volumes, w.Partition)
		if err != nil {
			return err
		}
		old := map[string][]byte{"grub/STATE1.ENV": was.State1, "grub/STATE2.ENV": was.State2, "grub/TRIES.ENV": was.Tries, "grub/MENU.ENV": was.Menu}[w.Path]
		if err := unchanged(e, v, w.Path, old); err != nil {
			return err
		}
	}
	return nil
}

// stillThere refuses a partition of another disk than the one that was looked
// at, or one that cannot be written past the kernel's back.
func stillThere(volumes []mounts.Volume, points []mounts.MountPoint, path, disk string) error {
	v, err := deviceAt(volumes, path)
	if err != nil {
		return err
	}
	if v.DiskUUID != disk {
		return step.WithHint(fmt.Errorf("%s is on another disk now (%s, was %s)", path, v.DiskUUID, disk), "was the medium changed? nothing was written to it")
	}
	if v.ReadOnly {
		return fmt.Errorf("%s is write-protected", path)
	}
	for _, p := range points {
		if p.Source == path && !strings.HasPrefix(p.SuperOptions+",", "ro,") {
			return step.WithHint(fmt.Errorf("%s is mounted read-write at %s", path, p.Path), "unmount it")
		}
	}
	return nil
}

func deviceAt(volumes []mounts.Volume, path string) (mounts.Volume, error) {
	for _, v := range volumes {
		if v.Path() == path {
			return v, nil
		}
	}
	return mounts.Volume{}, fmt.Errorf("%s is gone", path)
}

func unchanged(e Env, v mounts.Volume, path string, was []byte) error {
	block, err := e.Storage.Open(v.Name)
	if err != nil {
		return err
	}
	defer block.Close()
	now, err := bootstate.ReadFile(block, path)
	if was != nil && (err != nil || !bytes.Equal(now, was)) {
		return fmt.Errorf("%s on %s has changed since it was looked at", path, v.Path())
	}
	return nil
}

// writeBack makes the kernel flush a USB disk's cache: it assumes of many that
// they have none, and then sends no flush at all.
func writeBack(root, disk string, r *step.Reporter) {
	names, err := filepath.Glob(filepath.Join(root, "/sys/class/block", disk, "device/scsi_disk/*/cache_type"))
	if err != nil {
		return
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(text)) != "write through" {
			continue
		}
		if err := os.WriteFile(name, []byte("temporary write back\n"), 0); err != nil {
			r.Warn(fmt.Errorf("make %s flush its cache: %w", disk, err))
		}
	}
}

// changeLoader is the step of a Change.
func changeLoader(e Env, c Change) step.Step {
	return step.Step{Name: "tell the boot loader", Do: func(_ context.Context, r *step.Reporter) error {
		return writeState(e, c.Writes, c.LoaderWas, c.LoaderDisk, r)
	}}
}
