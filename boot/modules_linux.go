package boot

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

// LinuxModules is the running kernel. It reads Root's proc/modules and
// sys/devices, and calls finit_module(2) and init_module(2).
//
// u-root's kmodule is not used: it knows neither modules.alias nor softdeps
// nor a blacklist, fails where a loaded module is not in the folder, and its
// decompression costs 475 KB in PID 1 where this costs 377.
type LinuxModules struct{ Root string }

// moduleLimit bounds an unpacked module; the largest seen has 30 MB.
const moduleLimit = 512 << 20

// Insert loads one module from its file.
func (l LinuxModules) Insert(file, parameters string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if filepath.Ext(file) == ".ko" {
		err = unix.FinitModule(int(f.Fd()), parameters, 0)
	} else {
		var image []byte
		if image, err = unpackModule(f, filepath.Ext(file)); err == nil {
			err = unix.InitModule(image, parameters)
		}
	}
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

// unpackModule undoes what "make modules_install" can do to a module. The
// kernel could do it itself, but Debian's is not built to.
func unpackModule(r io.Reader, extension string) ([]byte, error) {
	packed := bufio.NewReaderSize(r, 64<<10)
	var plain io.Reader
	var err error
	switch extension {
	case ".gz":
		plain, err = gzip.NewReader(packed)
	case ".xz":
		plain, err = xz.NewReader(packed)
	case ".zst":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(moduleLimit)); err == nil {
			defer d.Close()
			plain = d
		}
	default:
		err = errors.New("not a way to pack a module that is known here: .gz, .xz or .zst")
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", extension, err)
	}
	var image bytes.Buffer
	n, err := image.ReadFrom(io.LimitReader(plain, moduleLimit+1))
	if err == nil && n > moduleLimit {
		err = fmt.Errorf("more than %d bytes", moduleLimit)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", extension, err)
	}
	return image.Bytes(), nil
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

// Modaliases reads every file modalias below sys/devices, which has more than
// the buses do: dmi and input devices are on none. A device that goes away
// meanwhile is not missed.
//
// Cards of the mmc bus have no such file: what they are stands in their uevent
// alone. (An SD card that held the side was not found.)
func (l LinuxModules) Modaliases() ([]string, error) {
	var all []string
	seen := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(l.Root, "sys/devices"), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && neverHoldsDevices(entry.Name()):
			return fs.SkipDir
		case entry.Name() != "modalias" && !(entry.Name() == "uevent" && isMMCCard(filepath.Base(filepath.Dir(path)))):
			return nil
		}
		text, err := os.ReadFile(path)
		m := strings.TrimSpace(string(text))
		if entry.Name() == "uevent" {
			_, m, _ = strings.Cut("\n"+m, "\nMODALIAS=")
			m, _, _ = strings.Cut(m, "\n")
		}
		if err == nil && m != "" && !seen[m] {
			seen[m] = true
			all = append(all, m)
		}
		return nil
	})
	return all, err
}

// isMMCCard recognises the folder of a card: "mmc0:4567".
func isMMCCard(dir string) bool {
	host, _, ok := strings.Cut(dir, ":")
	digits := strings.TrimPrefix(host, "mmc")
	return ok && digits != host && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// neverHoldsDevices names folders of attributes, and of what a device is to
// programs and not to the kernel: four fifths of sysfs.
func neverHoldsDevices(name string) bool {
	switch name {
	case "power", "statistics", "queues", "msi_irqs", "trace", "wakeup",
		"block", "bdi", "net", "tty", "vc", "vtconsole", "mem", "misc", "memory", "workqueue":
		return true
	}
	return false
}
