//go:build qemu

package qemutests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	pid1 "psyopsOS/boot"
	"psyopsOS/vm"
)

// A racer is one way to boot the course.
type racer struct {
	name  string
	floor bool
	words string
}

// A result is one boot. Times are in seconds by the kernel log's clock.
type result struct {
	own     float64 // from the kernel's start of /init to the new init
	whole   float64 // from the kernel's own start to the new init
	copying float64
	hashing float64 // of the images alone
	used    int64   // bytes of memory in use when the new init comes
	bare    int64   // the same when the floor begins
	boot    *pid1.Report
	marks   []mark // the floor's
}

type mark struct {
	at   float64
	name string
}

// arrival is what floor/arrived.go tells.
type arrival struct {
	Memory, Before string
	Log            []string
	Boot           *pid1.Report
	Hashing        float64
}

// race boots once, and waits until the new init has switched the machine off.
func race(ctx context.Context, c course, r racer, dir string) (result, error) {
	m := vm.Machine{
		CPUs:   2, // as every machine that psyopsOS is for has: one hashes while one copies
		Kernel: c.kernel, Initrd: c.initramfs, NoReboot: true,
		Append: "ro psyopsos=psyopsOS-A console=tty0 console=ttyS0,115200 panic=-1 " + r.words,
		Disks:  []vm.Disk{{ID: "boot", Path: c.disk, Snapshot: true}},
		NICs:   []vm.NIC{{Restrict: true}},
	}
	if r.floor {
		m.Initrd = c.floor
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, fmt.Errorf("%s did not arrive", r.name))
	defer cancel()
	v, err := vm.Start(ctx, m, dir)
	if err != nil {
		return result{}, err
	}
	defer v.Close()
	if _, err := v.Wait(ctx); err != nil {
		return result{}, err
	}
	told, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		return result{}, err
	}
	res, err := readArrival(told)
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", r.name, err, v.Console.Tail(30))
	}
	return res, err
}

func readArrival(told []byte) (result, error) {
	var a arrival
	if err := json.NewDecoder(bytes.NewReader(told)).Decode(&a); err != nil {
		return result{}, fmt.Errorf("the new init told %q: %w", told, err)
	}
	r := result{hashing: a.Hashing, boot: a.Boot, used: memoryUsed(a.Memory), bare: memoryUsed(a.Before)}
	var begun float64
	for _, record := range a.Log {
		at, text, err := readRecord(record)
		if err != nil {
			return result{}, err
		}
		floor, isMark := strings.CutPrefix(text, "floor: ")
		switch {
		case strings.HasPrefix(text, "Run /init as init process"):
			begun = at
		case text == "new init":
			r.whole, r.own = at, at-begun
		case isMark:
			r.marks = append(r.marks, mark{at, floor})
		}
	}
	if begun == 0 || r.whole == 0 {
		return result{}, fmt.Errorf("begin (%g) or end (%g) is not in the kernel's log:\n%s", begun, r.whole, strings.Join(a.Log, "\n"))
	}
	r.copying = r.copyTime()
	return r, nil
}

// copyTime is what was spent between the first byte of the first file and the
// last of the last.
func (r result) copyTime() float64 {
	var seconds float64
	for i, m := range r.marks {
		if m.name == "copy" {
			seconds += m.at - r.marks[i-1].at
		}
	}
	if r.boot != nil {
		for _, e := range r.boot.Events {
			if e.Kind == "finished" && strings.HasPrefix(e.Step, "copy ") {
				seconds += e.Elapsed.Seconds()
			}
		}
	}
	return seconds
}

// readRecord reads the first line of a record of /dev/kmsg:
// priority,number,microseconds,flags;text.
func readRecord(record string) (at float64, text string, err error) {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 4 {
		return 0, "", fmt.Errorf("%q is no record of the kernel's log", record)
	}
	micro, err := strconv.ParseInt(fields[2], 10, 64)
	return float64(micro) / 1e6, text, err
}

// memoryUsed is MemTotal - MemAvailable: what nothing else can have.
func memoryUsed(meminfo string) int64 {
	values := map[string]int64{}
	for line := range strings.Lines(meminfo) {
		if fields := strings.Fields(line); len(fields) >= 2 {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err == nil {
				values[strings.TrimSuffix(fields[0], ":")] = kilobytes << 10
			}
		}
	}
	return values["MemTotal"] - values["MemAvailable"]
}
