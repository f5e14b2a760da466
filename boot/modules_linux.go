package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"psyopsOS/step"
)

// LinuxModules is the running kernel. It reads Root's proc/modules and
// sys/bus, and calls finit_module(2).
//
// u-root's kmodule is not used: it knows neither modules.alias nor softdeps
// nor a blacklist, fails where a loaded module is not in the folder, and its
// decompression costs 475 KB in PID 1, for modules that are never packed here.
type LinuxModules struct{ Root string }

// Insert loads one module from its file. A packed one is refused: image unpacks
// them all when a release is made, so that the squashfs packs them better
// together, and to know gzip, xz and zstd here would cost 377 KB and 20 ms at
// the start of PID 1.
func (l LinuxModules) Insert(file, parameters string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if extension := filepath.Ext(file); extension != ".ko" {
		return step.WithHint(fmt.Errorf("it is packed (%s)", extension), "make the release anew: tk unpacks a kernel's modules")
	}
	err = unix.FinitModule(int(f.Fd()), parameters, 0)
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: it uses a symbol that nothing loaded has (dmesg names it)", err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%w: it is of another kernel (dmesg says more)", err)
	}
	return err
}

// Loaded reads proc/modules. A kernel without loadable modules has none.
func (l LinuxModules) Loaded() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(l.Root, "proc/modules"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	return names, nil
}

// Modaliases reads the files modalias of the devices on every bus, and of the
// two classes that drivers are for without a bus. (Walking all of sys/devices
// finds them too and took twice as long: 464 folders for 30 devices.) A device
// that goes away meanwhile is not missed.
//
// What processors ask for is on no bus, and left out: KVM, ciphers and
// frequencies took half of the time that loading took, and nothing before
// OpenRC's hwdrivers needs them.
//
// Cards of the mmc bus have no such file: what they are stands in their uevent
// alone. (An SD card that held the side was not found.)
func (l LinuxModules) Modaliases(known map[string]bool, buses ...string) (all []string, err error) {
	var folders []string
	if len(buses) == 0 {
		folders = []string{"sys/class/dmi", "sys/class/input"}
		buses, err = folderNames(filepath.Join(l.Root, "sys/bus"))
	}
	for _, bus := range buses {
		folders = append(folders, "sys/bus/"+bus+"/devices")
	}
	for _, folder := range folders {
		path := filepath.Join(l.Root, folder)
		names, more := folderNames(path)
		if !errors.Is(more, fs.ErrNotExist) {
			err = errors.Join(err, more)
		}
		for _, name := range names {
			device := path + "/" + name
			if known[device] {
				continue
			}
			known[device] = true
			if m := readModalias(device); m != "" && !known[m] {
				known[m] = true
				all = append(all, m)
			}
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // a kernel without sysfs
	}
	return all, err
}

// folderNames are in the folder's own order.
func folderNames(name string) (names []string, err error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for entries := make([]byte, foldersBytes); ; {
		n, err := unix.ReadDirent(fd, entries)
		if n <= 0 || err != nil {
			return names, err
		}
		_, _, names = unix.ParseDirent(entries[:n], -1, names)
	}
}

// foldersBytes holds what one system call gives of a folder: nearly all have
// less, and are read with two.
const foldersBytes = 8192

func readModalias(device string) string {
	if m := readAttribute(device + "/modalias"); m != "" {
		return m
	}
	if filepath.Base(filepath.Dir(filepath.Dir(device))) != "mmc" {
		return ""
	}
	_, m, _ := strings.Cut("\n"+readAttribute(device+"/uevent"), "\nMODALIAS=")
	m, _, _ = strings.Cut(m, "\n")
	return m
}

// attributeLimit is a page: sysfs has no longer ones.
const attributeLimit = 4096

// readAttribute is empty where there is none. It takes four system calls where
// os.ReadFile takes eight.
func readAttribute(name string) string {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var text [attributeLimit]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[:n]))
}
