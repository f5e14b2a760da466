//go:build qemu

package qemutests

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	pid1 "psyopsOS/boot"
	"psyopsOS/image"
	"psyopsOS/image/tree"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// benchOut is where the bench leaves what it made: the timelines, for people.
const benchOut = "../artifacts/bench"

// A course is what both inits run on.
type course struct {
	kernel, initramfs string // ours, as released
	floor             string // the floor's initramfs
	disk              string
	bytes             int64 // of squashfs and modloop
}

// squashfsBytes is how large the measured root is. Its contents cannot be
// compressed.
const squashfsBytes = 100 << 20

// newCourse builds a release around a root that holds nothing but the end of
// the race, and the floor's initramfs for the same kernel.
func newCourse(ctx context.Context, i Images) (course, error) {
	if err := os.MkdirAll(benchOut, 0o755); err != nil {
		return course{}, err
	}
	c := course{kernel: i.Kernel, initramfs: i.Initramfs,
		floor: filepath.Join(benchOut, "floor.initramfs"), disk: filepath.Join(benchOut, "disk.img")}
	program := filepath.Join(benchOut, "floor")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./floor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOAMD64=v1")
	if output, err := build.CombinedOutput(); err != nil {
		return course{}, fmt.Errorf("%v: %w\n%s", build.Args, err, output)
	}
	squashfs := filepath.Join(benchOut, layout.Squashfs)
	if err := benchRoot(ctx, program, squashfs); err != nil {
		return course{}, err
	}
	for _, name := range []string{squashfs, i.Modloop} {
		info, err := os.Stat(name)
		if err != nil {
			return course{}, err
		}
		c.bytes += info.Size()
	}
	if err := benchDisk(ctx, i, squashfs, c.disk); err != nil {
		return course{}, err
	}
	return c, floorInitramfs(ctx, filepath.Dir(i.Kernel), program, c.floor)
}

func benchRoot(ctx context.Context, program, out string) error {
	userland := tree.New()
	init, err := tree.FileOf(0o755, program)
	if err != nil {
		return err
	}
	info, err := os.Stat(program)
	if err != nil {
		return err
	}
	noise := make([]byte, squashfsBytes-info.Size()/2)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	for name, node := range map[string]*tree.Node{"sbin/init": init, "noise": tree.File(0o644, noise)} {
		if err := userland.Add(name, node); err != nil {
			return err
		}
	}
	return image.Squashfs(ctx, image.SquashfsOptions{Userland: userland, Time: time.Unix(0, 0), Compression: image.Compression{Level: 1}, Out: out})
}

// benchDisk is a disk as tk makes it, but for the loader, which has no part in
// this.
func benchDisk(ctx context.Context, i Images, squashfs, out string) error {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(benchOut), "tests/keys/development.key"))
	if err != nil {
		return err
	}
	key, err := release.ReadSecretKey(text, nil)
	if err != nil {
		return err
	}
	keys, err := image.InitramfsKeys(i.Initramfs)
	if err != nil {
		return err
	}
	members := map[string]string{layout.Initramfs: i.Initramfs, layout.Squashfs: squashfs}
	for _, name := range []string{layout.Kernel, layout.KernelVersion, layout.SystemMap, layout.KernelConfig, layout.Modloop} {
		members[name] = filepath.Join(filepath.Dir(i.Kernel), name)
	}
	members[layout.UserlandVersion] = filepath.Join(filepath.Dir(i.Squashfs), layout.UserlandVersion)
	now := time.Now()
	tar, err := image.OSTar(ctx, image.OSTarOptions{Members: members, Version: release.Version(now), Architecture: "x86_64",
		Kernel: i.KernelVersion, Userland: "bench 1", Key: key, Now: now, Dir: benchOut}, func(int64, int64) {})
	if err != nil {
		return err
	}
	defer os.Remove(tar.Tar)
	defer os.Remove(tar.Signature)
	secrets, err := image.ReadSecTar(filepath.Join(filepath.Dir(i.Squashfs), "../sectar/psyops-secret.tar"))
	if err != nil {
		return err
	}
	return image.DiskImage(ctx, image.DiskImageOptions{OSTar: tar.Tar, Keys: keys, Secrets: secrets, Scratch: benchOut, Out: out,
		Sizes: map[layout.Label]int64{layout.SideA: 224 << 20, layout.SideB: 224 << 20, layout.Secret: 16 << 20}}, func(int64, int64) {})
}

// floorInitramfs has the floor and the modules that our init ends up with on
// this machine, in the order in which they load.
func floorInitramfs(ctx context.Context, kernelDir, program, out string) error {
	kernel, err := image.OpenKernel(kernelDir)
	if err != nil {
		return err
	}
	names := []string{"virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "loop", "squashfs", "overlay", "virtio_net"}
	all, _, err := image.InitramfsModules(ctx, kernel, names)
	if err != nil {
		return err
	}
	dir := "lib/modules/" + kernel.Version
	sub, err := fs.Sub(all.FS(), dir)
	if err != nil {
		return err
	}
	table, err := pid1.ReadModuleTree(sub)
	if err != nil {
		return err
	}
	files, list := fstest.MapFS{}, []string{}
	for _, name := range table.LoadPlan(names, nil, nil) {
		file := dir + "/" + table.Modules[name].File
		content, err := fs.ReadFile(all.FS(), file)
		if err != nil {
			return err
		}
		files[file] = &fstest.MapFile{Data: content}
		list = append(list, "/"+file)
	}
	files["modules"] = &fstest.MapFile{Data: []byte(strings.Join(list, "\n") + "\n")}
	return image.Initramfs(ctx, image.InitramfsOptions{Init: program, PublicKey: []byte("none: it verifies nothing\n"), Modules: files, Out: out})
}
