package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An arrival is what the new root's init tells. The bench reads it.
type arrival struct {
	Memory  string          `json:"memory"`            // /proc/meminfo, first of all
	Before  string          `json:"before,omitempty"`  // the same when the floor began
	Log     []string        `json:"log"`               // the kernel's log as /dev/kmsg has it
	Boot    json.RawMessage `json:"boot,omitempty"`    // what our init left: boot.json
	Hashing float64         `json:"hashing,omitempty"` // seconds for SHA-256 of the copies
}

// arrived is the end of every measured boot: the moment stands in the kernel's
// log before anything else is done.
func arrived() {
	if err := arrive(); err != nil {
		fmt.Println("new init:", err)
	}
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func arrive() error {
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/dev/kmsg", []byte("<6>new init\n"), 0); err != nil {
		return err
	}
	a := arrival{Memory: string(memory)}
	if a.Log, err = kernelLog(); err != nil {
		return err
	}
	// Each of the two inits leaves one of these.
	if before, err := os.ReadFile("/run/floor.meminfo"); err == nil {
		a.Before = string(before)
	}
	if boot, err := os.ReadFile("/run/psyopsOS/boot.json"); err == nil {
		a.Boot = boot
	}
	if line, err := os.ReadFile("/proc/cmdline"); err == nil && strings.Contains(string(line), "floor.hash") {
		if a.Hashing, err = hash(); err != nil {
			return err
		}
	}
	tell, err := os.OpenFile("/dev/ttyS1", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(tell).Encode(a); err != nil {
		return err
	}
	return unix.IoctlSetInt(int(tell.Fd()), unix.TCSBRK, 1) // wait until it is sent
}

// kernelLog reads what the log has: one record a read, and no waiting for more.
func kernelLog() ([]string, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var log []string
	record := make([]byte, 8<<10)
	for {
		n, err := unix.Read(fd, record)
		switch err {
		case nil:
			first, _, _ := strings.Cut(string(record[:n]), "\n")
			log = append(log, first)
		case unix.EPIPE: // records were lost before they could be read
		case unix.EAGAIN:
			return log, nil
		default:
			return nil, err
		}
	}
}

// hash is how long the processor needs to hash the images alone: their bytes
// are in memory, and are mapped, not read.
func hash() (float64, error) {
	var seconds float64
	for _, image := range images() {
		f, err := os.Open(ram + "/" + image)
		if err != nil {
			return 0, err
		}
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		bytes, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return 0, err
		}
		begun := time.Now()
		sha256.Sum256(bytes)
		seconds += time.Since(begun).Seconds()
	}
	return seconds, nil
}
