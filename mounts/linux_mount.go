package mounts

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"psyopsOS/step"
)

// Mount makes the target where it is missing, and mounts.
func (l Linux) Mount(m Mount) error {
	target := l.path(m.Target)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("mount %s: make the mount point: %w", m, err)
	}
	err := unix.Mount(m.Source, target, m.Type, uintptr(m.Flags), m.Data)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("mount %s: %w", m, err)
	if errors.Is(err, unix.ENODEV) {
		return step.WithHint(err, "the kernel lacks a driver for %s: load its module", m.Type)
	}
	return err
}

// Bind shows the folder or file from at to as well, with what is mounted below
// it.
func (l Linux) Bind(from, to string) error {
	if err := unix.Mount(l.path(from), l.path(to), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s on %s: %w", from, to, err)
	}
	return nil
}

// MoveMount moves the topmost mount at from.
func (l Linux) MoveMount(from, to string) error {
	if err := unix.Mount(l.path(from), l.path(to), "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move mount %s to %s: %w", from, to, err)
	}
	return nil
}

// MakePrivate ends propagation at and below target.
func (l Linux) MakePrivate(target string) error {
	if err := unix.Mount("", l.path(target), "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts below %s private: %w", target, err)
	}
	return nil
}

// Unmount unmounts the topmost mount at target, never lazily: what is still in
// use is told.
func (l Linux) Unmount(target string) error {
	if err := unix.Unmount(l.path(target), unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}
