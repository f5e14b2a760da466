package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

type mount struct{ source, target, kind, data string }

func (m mount) do() error       { return m.with(0) }
func (m mount) readOnly() error { return m.with(unix.MS_RDONLY) }

func (m mount) with(flags uintptr) error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.source, m.target, m.kind, flags, m.data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.source, m.target, err)
	}
	return nil
}

// attach makes a loop device of a file, and gives its path.
func attach(file string) (string, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("/dev/loop%d", number)
	device, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer device.Close()
	content, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer content.Close()
	config := unix.LoopConfig{Fd: uint32(content.Fd())}
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY
	return name, unix.IoctlLoopConfigure(int(device.Fd()), &config)
}

// copyFile reads 4 MiB at a time past the page cache: the fastest of what was
// measured.
func copyFile(from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	buffer, err := unix.Mmap(-1, 0, 4<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	for {
		n, err := in.Read(buffer)
		if err == io.EOF {
			return unix.Munmap(buffer)
		}
		if err == nil {
			_, err = out.Write(buffer[:n])
		}
		if err != nil {
			return err
		}
	}
}
