// Package vm runs QEMU: for `tk vm`, for `make run` and for the VM tests.
//
// A Machine is a value that says what the guest has. Args turns it into
// QEMU's arguments and touches nothing; Start runs it with its serial ports
// in our hands, Interactive with its console in the user's terminal.
//
// The guest has two serial ports. ttyS0 is the console. ttyS1 carries the
// boot's events as JSON lines when the guest is told psyopsos.events=/dev/ttyS1;
// it is a plain 8250 because that driver is built into every kernel that we
// boot, while virtio's console is a module. Both ports and QMP are socket pairs
// inherited by QEMU, so that no path can be too long or left behind.
//
// It reads the files that the Machine names. It writes into the folder that it
// is given: the firmware's variables, overlays of disks whose writes are thrown
// away, console.log, events.jsonl, qemu.log.
package vm

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"

	"psyopsOS/step"
)

// A Machine is what the guest has. Fields left empty take the defaults of
// WithDefaults.
type Machine struct {
	Binary   string // QEMU; default qemu-system-x86_64
	Accel    string // "tcg" or "kvm"
	CPUModel string // default what the accelerator can do: cpuModel
	CPUs     int    // default 1
	Memory   int    // MiB; default 512
	// Translated is how many MiB of translated code QEMU keeps without KVM; its
	// own default is 1024. Less is for a guest that writes to where its code has
	// been, as after kexec: see resetsAreStarts.
	Translated int

	// Direct boot.
	Kernel string
	Initrd string
	Append string
	// Boot by firmware, where Code is set.
	Firmware Firmware

	Disks []Disk
	NICs  []NIC

	NoConsole bool   // no ttyS0
	NoEvents  bool   // no ttyS1
	VGA       bool   // a screen; it is shown nowhere, but the guest has it
	Watchdog  bool   // an i6300esb which resets the guest
	TPM       string // unix socket of a swtpm
	NoReboot  bool   // a reset ends QEMU

	// Fails are regular expressions which, seen on the console, end every
	// wait at once. Nil means FailurePatterns, an empty list none.
	Fails []string

	Extra []string // further arguments, last
}

// EventsDevice is what the guest calls the serial port that carries events.
const EventsDevice = "/dev/ttyS1"

// A Bus says how a disk is connected.
type Bus string

// The buses that a disk may be on.
const (
	Virtio Bus = "virtio"
	AHCI   Bus = "ahci"
	NVMe   Bus = "nvme"
	USB    Bus = "usb"
	SD     Bus = "sd" // QEMU wants a size that is a power of two
	SCSI   Bus = "scsi"
)

// A Disk is one disk of the guest.
type Disk struct {
	ID        string // for Plug and Unplug; default diskN
	Path      string
	Format    string // "raw" (default) or "qcow2"
	Bus       Bus    // default Virtio
	Serial    string // what the disk says of itself
	ReadOnly  bool
	Snapshot  bool   // what the guest writes is thrown away; several guests may share the file
	NoFlush   bool   // the guest's flushes do nothing: for a disk that need not outlive a crash of the host
	BootIndex int    // the firmware's order, from 1; 0: not asked for
	WriteRate int64  // bytes a second that a raw disk takes, as a slow stick; 0: as fast as it can
	WriteLog  string // a file that is there, for blklogwrites to log every write and flush of a raw disk
	Absent    bool   // not there until it is plugged
	Hotplug   bool   // may be unplugged: virtio and nvme then get a PCIe port each; usb and scsi always may
}

// A NIC is a network interface of the guest, on QEMU's user network, or on a
// cable to another guest and on no other network.
type NIC struct {
	MAC      string
	Model    string // default virtio-net-pci
	SSH      int    // a port of 127.0.0.1 that leads to the guest's port 22; 0: none
	Restrict bool   // the guest reaches nothing outside
	Cable    Cable
}

// A Cable leads to another guest, whose cable has the same two ends the other
// way round. They are sockets, whose paths have 107 bytes at most. Either guest
// may start first: what is sent to one that is not there is lost.
type Cable struct{ Here, There string }

// FailurePatterns are what a guest says when nothing more will come.
func FailurePatterns() []string {
	return []string{
		`Kernel panic - not syncing.*`,
		`UEFI Interactive Shell`,
		`BdsDxe: No bootable option.*`,
		`grub rescue>`,
	}
}

// ParseAccel reads the name of an accelerator; auto is kvm where Prove proves
// it, else tcg.
func ParseAccel(text string) (string, error) {
	switch text {
	case "tcg", "kvm", "auto":
		return text, nil
	}
	return "", step.WithHint(fmt.Errorf("%q is no accelerator", text), "it is tcg, kvm, or auto")
}

// AccelFromEnv is the accelerator that QEMU_ACCEL asks for. KVM is a choice
// and never a default: a host's /dev/kvm may be there and still hang the guest.
func AccelFromEnv(getenv func(string) string) (string, error) {
	switch a := getenv("QEMU_ACCEL"); a {
	case "", "tcg":
		return "tcg", nil
	case "kvm":
		return "kvm", nil
	default:
		return "", step.WithHint(fmt.Errorf("QEMU_ACCEL=%s is no accelerator", a), "QEMU_ACCEL is tcg or kvm")
	}
}

// WithDefaults is m with every default filled in.
func (m Machine) WithDefaults() Machine {
	m.Binary = or(m.Binary, "qemu-system-x86_64")
	m.Accel = or(m.Accel, "tcg")
	m.CPUModel = or(m.CPUModel, cpuModel(m.Accel))
	m.CPUs = or(m.CPUs, 1)
	m.Memory = or(m.Memory, 512)
	m.Disks = slices.Clone(m.Disks)
	for i := range m.Disks {
		d := &m.Disks[i]
		d.ID = or(d.ID, fmt.Sprintf("disk%d", i))
		d.Format = or(d.Format, "raw")
		d.Bus = or(d.Bus, Virtio)
		d.Hotplug = d.Hotplug || d.Absent
	}
	m.NICs = slices.Clone(m.NICs)
	for i := range m.NICs {
		m.NICs[i].Model = or(m.NICs[i].Model, "virtio-net-pci")
	}
	return m
}

// cpuModel is all that the accelerator offers, but for two things that QEMU
// without KVM does byte by byte, with a look for interrupts after each: clearing
// a page and copying with them. On a busy machine the clock's interrupts came
// faster than the bytes, and guests stood still for minutes in clear_page_erms.
func cpuModel(accel string) string {
	if accel == "kvm" {
		return "max"
	}
	return "max,-erms,-fsrm"
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// check refuses what QEMU would refuse in less helpful words.
func (m Machine) check() error {
	var errs []error
	if m.Kernel == "" && m.Firmware.Code == "" {
		errs = append(errs, errors.New("neither a kernel nor a firmware to boot"))
	}
	if m.Kernel == "" && m.Initrd+m.Append != "" {
		errs = append(errs, errors.New("an initrd or a command line, but no kernel"))
	}
	if m.Accel != "tcg" && m.Accel != "kvm" {
		errs = append(errs, fmt.Errorf("unknown accelerator %q", m.Accel))
	}
	seen := map[string]bool{}
	for _, d := range m.Disks {
		if err := d.check(); err != nil {
			errs = append(errs, fmt.Errorf("disk %s: %w", d.ID, err))
		}
		if seen[d.ID] {
			errs = append(errs, fmt.Errorf("two disks are called %s", d.ID))
		}
		seen[d.ID] = true
	}
	if countBefore(SD, len(m.Disks), m.Disks) > 1 {
		errs = append(errs, errors.New("more than one disk is an sd card, and there is one slot"))
	}
	return errors.Join(errs...)
}

func (d Disk) check() error {
	switch {
	case !regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,25}$`).MatchString(d.ID):
		return errors.New("its id is no name of 26 letters, digits, - and _ at most")
	case d.Path == "":
		return errors.New("it has no file")
	case (d.WriteLog != "" || d.WriteRate > 0) && (d.Format != "raw" || d.Snapshot || d.ReadOnly), d.WriteLog != "" && d.WriteRate > 0:
		return errors.New("only a raw disk that is written has a log of writes, or a rate of them, and not both")
	case d.Format != "raw" && d.Format != "qcow2":
		return fmt.Errorf("unknown format %q", d.Format)
	case d.Bus == AHCI && d.ReadOnly:
		return errors.New("QEMU has no read-only disks on ahci")
	case d.Bus == SD && d.BootIndex > 0:
		return errors.New("the firmware gives sd cards no place in the boot order")
	case d.Hotplug && (d.Bus == AHCI || d.Bus == SD):
		return fmt.Errorf("a disk on %s can be neither plugged nor unplugged", d.Bus)
	case !slices.Contains([]Bus{Virtio, AHCI, NVMe, USB, SD, SCSI}, d.Bus):
		return fmt.Errorf("unknown bus %q", d.Bus)
	}
	return nil
}

// PortIsFree says whether a machine's NIC.SSH can be this port, and why not.
func PortIsFree(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// FreePort is a TCP port of 127.0.0.1 on which nobody listens now, for
// NIC.SSH. QEMU says so if somebody takes it first.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
