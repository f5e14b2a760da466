package trial

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watchdogs is where the kernel shows what each watchdog can do.
const watchdogs = "/sys/class/watchdog"

// A device is one of the kernel's watchdogs, held open.
type device struct {
	name  string // "watchdog0"
	file  *os.File
	every time.Duration
}

// openWatchdog arms the first watchdog that nobody else holds.
func openWatchdog() *device {
	names, _ := filepath.Glob(watchdogs + "/watchdog*")
	for _, name := range names {
		d := &device{name: filepath.Base(name)}
		if d.open() == nil {
			return d
		}
	}
	return nil
}

func (d *device) open() (err error) {
	if d.file, err = os.OpenFile("/dev/"+d.name, os.O_WRONLY, 0); err != nil {
		return err
	}
	// Thrice within its time, which is the driver's or its parameter's.
	seconds, err := unix.IoctlGetInt(int(d.file.Fd()), unix.WDIOC_GETTIMEOUT)
	if err != nil || seconds <= 0 {
		seconds = 15
	}
	d.every = min(time.Duration(seconds)*time.Second/3, 10*time.Second)
	return nil
}

// Name is the kernel's, and the hardware's.
func (d *device) Name() string {
	if identity := d.says("identity"); identity != "" {
		return fmt.Sprintf("the watchdog %s (%s)", d.name, identity)
	}
	return "the watchdog " + d.name
}

func (d *device) Every() time.Duration { return d.every }

func (d *device) Feed() error {
	_, err := d.file.Write([]byte{'.'})
	return err
}

// Disarm closes it with the letter that says that this is meant. Where that
// has no meaning, by nowayout or for want of hardware, it stays armed, and open.
func (d *device) Disarm() bool {
	if d.says("nowayout") != "0" {
		return false
	}
	if _, err := d.file.Write([]byte{'V'}); err != nil {
		return false
	}
	_ = d.file.Close()
	if d.says("state") == "active" {
		return d.open() != nil
	}
	return true
}

// says reads one of its attributes; empty where the kernel shows none.
func (d *device) says(attribute string) string {
	text, _ := os.ReadFile(filepath.Join(watchdogs, d.name, attribute))
	return strings.TrimSpace(string(text))
}
