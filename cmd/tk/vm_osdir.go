package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/step"
)

func vmOSDir() command {
	return command{
		name: "osdir", args: "DIR [--append WORDS] [flags of diskimg]",
		short:   "boot the unpacked files of a side directly, without firmware and loader",
		example: "mkdir side && tar -xf artifacts/deaddrop/os/psyopsOS.x86_64.20261121-101500.tar -C side && tk vm osdir side",
	}.with("vm", runOSDir)
}

func runOSDir(ctx context.Context, e env, c command, args []string) error {
	f := newVMFlags(e, c, `
DIR holds what is in a release's tar: QEMU loads DIR/kernel and DIR/initramfs,
and all files are on a disk labelled psyopsOS-A, made for this run. There is no
psyops-secret: bring one with --disk2 or --usb.
`+vmHelp)
	var words string
	f.text(&words, "build.append")
	names, err := f.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	m, err := f.machine(ctx, e)
	if err != nil {
		return err
	}
	dir := names[0]
	for _, name := range []string{layout.Kernel, layout.Initramfs, layout.Squashfs, layout.Modloop} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return step.WithHint(err, "%s is no unpacked side: it lacks %s", dir, name)
		}
	}
	m.Kernel, m.Initrd = filepath.Join(dir, layout.Kernel), filepath.Join(dir, layout.Initramfs)
	m.Append = strings.TrimSpace("ro psyopsos=" + string(layout.SideA) + " console=ttyS0,115200 " + words)
	return withRunDir(func(run string) error {
		side := filepath.Join(run, "side.img")
		if err := sideImage(ctx, dir, side); err != nil {
			return fmt.Errorf("make a disk of %s: %w", dir, err)
		}
		m.Disks = slices.Insert(m.Disks, 0, vmDisk(side))
		return f.interactive(ctx, e, dir, m, run)
	})
}

// sideImage is side A's filesystem with the files of dir.
func sideImage(ctx context.Context, dir, name string) error {
	files, err := disk.Tree(dir)
	if err != nil {
		return err
	}
	label := string(layout.SideA)
	if !slices.ContainsFunc(files, func(f disk.File) bool { return f.Path == label }) {
		files = append(files, disk.File{Path: label, Data: []byte(label)})
	}
	var content int64
	for _, file := range files {
		size, err := file.Size()
		if err != nil {
			return err
		}
		content += size
	}
	const mib = 1 << 20
	room := (disk.Ext4Room(content) + mib - 1) / mib * mib
	return disk.Ext4(ctx, name, disk.Ext4Options{Label: label, SizeBytes: room, Time: time.Now(),
		UUID: disk.DerivedGUID(dir, "filesystem"), HashSeed: disk.DerivedGUID(dir, "hash seed")}, files)
}
