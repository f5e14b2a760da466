// Command floor is the floor of `make bench`: an init that knows its machine by
// heart and does nothing but the work itself. The device is fixed, the modules
// are a list, nothing is discovered, nothing verified, nothing told. No release
// has it.
//
// In the initramfs it reads /modules (a path a line, in order) and
// /proc/cmdline: floor.copy copies the image into a tmpfs, floor.hash hashes
// that copy afterwards. As the new root's /sbin/init it is the end of both
// boots: it says when it came, on the kernel's log, and what it found, on
// /dev/ttyS1, and switches the machine off.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "floor: this is not PID 1 of a machine that is measured: nothing done")
		os.Exit(1)
	}
	if os.Args[0] == "/sbin/init" {
		arrived()
	}
	if err := boot(); err != nil {
		fmt.Println("floor:", err)
	}
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

const (
	side = "/dev/vda3"
	ram  = "/ram"
)

// images are what a release consists of once it runs: the root, and the
// modules of its kernel.
func images() []string { return []string{"squashfs", "modloop"} }

// boot is the whole of it. It comes back only with an error.
func boot() error {
	for _, m := range []mount{{"proc", "/proc", "proc", ""}, {"sysfs", "/sys", "sysfs", ""}, {"devtmpfs", "/dev", "devtmpfs", ""}, {"run", "/run", "tmpfs", ""}} {
		if err := m.do(); err != nil {
			return err
		}
	}
	before, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	log, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	mark := func(what string) { fmt.Fprintf(log, "<7>floor: %s\n", what) }
	mark("begin")
	if err := insertModules(); err != nil {
		return err
	}
	mark("modules")
	for !exists(side) { // the partitions come a moment after the disk
		time.Sleep(time.Millisecond)
	}
	mark("device")
	if err := (mount{side, "/side", "ext4", "noload"}).readOnly(); err != nil {
		return err
	}
	from := "/side/"
	if words := string(line); strings.Contains(words, "floor.copy") {
		if err := (mount{"ram", ram, "tmpfs", ""}).do(); err != nil {
			return err
		}
		for _, image := range images() {
			if err := copyFile("/side/"+image, ram+"/"+image); err != nil {
				return err
			}
		}
		mark("copy")
		from = ram + "/"
	}
	if err := root(from+"squashfs", from+"modloop"); err != nil {
		return err
	}
	mark("root")
	if err := os.WriteFile("/run/floor.meminfo", before, 0o644); err != nil {
		return err
	}
	return handOver()
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func insertModules() error {
	list, err := os.ReadFile("/modules")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
		f.Close()
	}
	return nil
}

// root loops the images and lays a tmpfs over the first.
func root(squashfs, modloop string) error {
	for at, file := range map[string]string{"/lower": squashfs, "/.modloop": modloop} {
		loop, err := attach(file)
		if err != nil {
			return err
		}
		if err := (mount{loop, at, "squashfs", ""}).readOnly(); err != nil {
			return err
		}
	}
	if err := (mount{"rw", "/rw", "tmpfs", ""}).do(); err != nil {
		return err
	}
	for _, dir := range []string{"/rw/upper", "/rw/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return mount{"overlay", "/new", "overlay", "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work"}.do()
}

// handOver moves what the new init needs, and becomes it. The initramfs's files
// are deleted, as whoever wants their memory back must.
func handOver() error {
	old, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, m := range []string{"/dev", "/proc", "/sys", "/run", "/.modloop", ram} {
		if !exists(m) {
			continue
		}
		if err := os.MkdirAll("/new"+m, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m, "/new"+m, "", unix.MS_MOVE, ""); err != nil {
			return err
		}
	}
	for _, e := range old {
		if !e.IsDir() {
			if err := os.Remove("/" + e.Name()); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll("/lib"); err != nil {
		return err
	}
	if err := os.Chdir("/new"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Exec("/sbin/init", []string{"/sbin/init"}, nil)
}
