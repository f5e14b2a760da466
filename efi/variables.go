// Package efi has UEFI firmware start a program once, with the next restart
// (BootNext), so that one that hangs is gone after a power cycle.
//
// It reads and writes the variables BootNext and Boot#### in efivarfs: one boot
// entry of our own, which is used again each time and is in no BootOrder. (Of
// the libraries that do it, u-root's and go-efilib, the smaller brings
// google/uuid and database/sql/driver into PID 1; the kernel protects neither
// of these variables from being written, so that little is left to do.)
package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Mountpoint is where the userland mounts efivarfs.
const Mountpoint = "/sys/firmware/efi/efivars"

// global is the vendor of the variables that the specification names.
const global = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

// attributes are non-volatile, for boot services and at run time.
const attributes = 7

// most is what a variable of interest can have.
const most = 64 << 10

// Variables are those of the specification's own vendor.
type Variables interface {
	// Get gives fs.ErrNotExist of a variable that is not there.
	Get(name string) ([]byte, error)
	Set(name string, data []byte) error
	Remove(name string) error
	Names() ([]string, error)
}

// Dir is a mounted efivarfs.
type Dir string

func (d Dir) file(name string) string { return filepath.Join(string(d), name+global) }

// Get reads a variable: efivarfs gives its attributes first.
func (d Dir) Get(name string) ([]byte, error) {
	data, err := os.ReadFile(d.file(name))
	if err != nil {
		return nil, err
	}
	if len(data) == 0 { // a write that the firmware refused leaves it
		return nil, fs.ErrNotExist
	}
	if len(data) < 4 || len(data) > most {
		return nil, fmt.Errorf("EFI variable %s has %d bytes", name, len(data))
	}
	return data[4:], nil
}

// Set writes a variable, in one write: each is a call of the firmware.
func (d Dir) Set(name string, data []byte) error {
	f, err := os.OpenFile(d.file(name), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, attributes), data...))
	return errors.Join(err, f.Close())
}

// Remove deletes a variable.
func (d Dir) Remove(name string) error { return os.Remove(d.file(name)) }

// Names lists the variables.
func (d Dir) Names() (names []string, err error) {
	entries, err := os.ReadDir(string(d))
	for _, entry := range entries {
		if name, ours := strings.CutSuffix(entry.Name(), global); ours {
			names = append(names, name)
		}
	}
	return names, err
}
