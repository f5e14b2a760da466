package boot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/step"
)

// mountRoot loops the squashfs and lays a tmpfs over it.
func (j *journey) mountRoot(ctx context.Context, r *step.Reporter) error {
	device, err := j.m.Storage.LoopMount(mounts.LoopMount{
		File: j.squashfs, Target: j.m.path(layout.MediaRootRO), Type: "squashfs",
		Flags: mounts.NoDev, Direct: !j.toRAM,
	})
	if err != nil {
		return j.otherSide(err)
	}
	r.Note("squashfs is %s", device)
	return j.mountOverlay()
}

func (j *journey) mountPlainRoot(ctx context.Context, r *step.Reporter) error {
	fstype := j.c.RootFSType
	if fstype == "" {
		fstype = j.side.Type
	}
	err := j.m.Storage.Mount(mounts.Mount{
		Source: j.side.Path(), Target: j.m.path(layout.MediaRootRO), Type: fstype,
		Flags: mounts.ReadOnly, Data: j.c.RootFlags,
	})
	if err != nil {
		return step.WithHint(err, "rootfstype= and rootflags= say how root= is mounted")
	}
	return j.mountOverlay()
}

// mountOverlay puts the new root together. Both layers are moved along at the
// hand-over, so that /media/root-ro and /media/root-rw show them. Where that
// fails nothing stays mounted: the step may be repeated, and a mount that lies
// over another cannot be moved along.
func (j *journey) mountOverlay() error {
	lower, layers := j.m.path(layout.MediaRootRO), j.m.path(layout.MediaRootRW)
	options := "mode=0755"
	if j.c.OverlayTmpfsFlags != "" {
		options += "," + j.c.OverlayTmpfsFlags
	}
	err := j.m.Storage.Mount(mounts.Mount{Source: "root-rw", Target: layers, Type: "tmpfs", Data: options})
	if err != nil {
		err = step.WithHint(err, "overlaytmpfsflags=%s is handed to the tmpfs as it is", j.c.OverlayTmpfsFlags)
		return errors.Join(err, j.m.Storage.Unmount(lower))
	}
	if err := j.overlay(lower, layers); err != nil {
		return errors.Join(err, j.m.Storage.Unmount(layers), j.m.Storage.Unmount(lower))
	}
	return nil
}

func (j *journey) overlay(lower, layers string) error {
	upper, work := layers+"/upper", layers+"/work"
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	return j.m.Storage.Mount(mounts.Mount{
		Source: "overlay", Target: j.m.newPath(), Type: "overlay",
		Data: fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work),
	})
}

// readInit reads what the hand-over will start, while the new root is filled.
// What is wrong with it the hand-over tells.
func (j *journey) readInit(ctx context.Context, r *step.Reporter) error {
	_ = mounts.ReadInitAhead(j.m.newPath(), j.c.Init)
	return nil
}

// releaseDisk unmounts the side once all of it is in RAM, and proves that
// nothing of the disk stays in use. A system that runs from its disk keeps it.
func (j *journey) releaseDisk(ctx context.Context, r *step.Reporter) error {
	if !j.toRAM {
		r.Fact("boot_disk_in_use", true, "%s stays in use: this system runs from it", j.side.Disk)
		return nil
	}
	if err := j.m.Storage.Unmount(j.m.path(sideMount(j.c.Side))); err != nil {
		return err
	}
	users, err := mounts.UsersOf(j.m.Storage, j.side.Disk)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fmt.Errorf("%s is still used by %v although all of it was copied", j.side.Disk, users)
	}
	r.Fact("boot_disk_in_use", false, "%s can be unplugged", j.side.Disk)
	return nil
}

// installMountPoints makes the folders and the fstab that FORMATS.md section 1
// promises, where the image has none.
func (j *journey) installMountPoints(ctx context.Context, r *step.Reporter) error {
	fstab := ""
	for _, v := range layout.Volumes() {
		if v.MountPoint == "" {
			continue
		}
		if err := os.MkdirAll(j.m.newPath(v.MountPoint), 0o755); err != nil {
			return err
		}
		fstab += fmt.Sprintf("LABEL=%s %s %s ro,noauto 0 0\n", v.Label, v.MountPoint, v.Filesystem)
	}
	if err := os.Chmod(j.m.newPath(layout.MountSecretParent), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(j.m.newPath("/etc/fstab"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(fstab)
	return errors.Join(err, f.Close())
}
