package vm

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// File descriptors that QEMU inherits.
const (
	fdConsole = 3
	fdEvents  = 4
	fdQMP     = 5

	fdTerminalQMP = 3 // of Interactive, which passes on no other
)

// Args are QEMU's arguments for m as Start runs it, without the program's
// name; dir is where the files are that belong to this one run.
func Args(m Machine, dir string) ([]string, error) {
	return args(m, dir, inherited)
}

// TerminalArgs are QEMU's arguments for m as Interactive runs it.
func TerminalArgs(m Machine, dir string) ([]string, error) {
	return args(m, dir, terminal)
}

func args(m Machine, dir string, ports func(Machine, string) []string) ([]string, error) {
	m = m.WithDefaults()
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	a := []string{
		"-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35",
		"-accel", m.accelerator(),
		"-cpu", m.CPUModel,
		"-smp", strconv.Itoa(m.CPUs),
		"-m", strconv.Itoa(m.Memory),
	}
	a = append(a, ports(m, dir)...)
	a = append(a, bootArgs(m, dir)...)
	a = append(a, diskArgs(m.Disks, dir)...)
	for i, n := range m.NICs {
		a = append(a, n.args(i)...)
	}
	return append(append(a, otherArgs(m)...), m.Extra...), nil
}

func (m Machine) accelerator() string {
	switch {
	case m.Accel != "tcg":
		return m.Accel
	case m.Translated > 0:
		return fmt.Sprintf("tcg,thread=multi,tb-size=%d", m.Translated)
	}
	return "tcg,thread=multi"
}

// inherited gives the guest's ports to whoever called Start.
func inherited(m Machine, _ string) []string {
	var a []string
	if !m.NoConsole {
		a = append(a, "-chardev", fmt.Sprintf("socket,id=console,fd=%d", fdConsole))
		a = append(a, serial(0, "console")...)
	}
	if !m.NoEvents {
		a = append(a, "-chardev", fmt.Sprintf("socket,id=events,fd=%d", fdEvents))
		a = append(a, serial(1, "events")...)
	}
	return append(a, "-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", fdQMP), "-mon", "chardev=qmp,mode=control")
}

// terminal gives the console to the person: Ctrl-C goes to the guest, Ctrl-A X
// leaves, Ctrl-A C is QEMU's monitor.
func terminal(m Machine, dir string) []string {
	a := []string{"-chardev", "stdio,id=console,mux=on,signal=off", "-mon", "chardev=console,mode=readline",
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", fdTerminalQMP), "-mon", "chardev=qmp,mode=control"}
	if !m.NoConsole {
		a = append(a, serial(0, "console")...)
	}
	if !m.NoEvents {
		a = append(a, "-chardev", "file,id=events,path="+value(filepath.Join(dir, eventsFile)))
		a = append(a, serial(1, "events")...)
	}
	return a
}

// serial fixes the port's number, so that ttyS1 stays ttyS1 without a ttyS0.
func serial(index int, chardev string) []string {
	return []string{"-device", fmt.Sprintf("isa-serial,index=%d,chardev=%s", index, chardev)}
}

func bootArgs(m Machine, dir string) []string {
	var a []string
	if m.Firmware.Code != "" {
		a = append(a,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+value(m.Firmware.Code),
			"-drive", "if=pflash,unit=1,format=raw,file="+value(filepath.Join(dir, varsFile)))
	}
	if m.Kernel != "" {
		a = append(a, "-kernel", m.Kernel)
	}
	if m.Initrd != "" {
		a = append(a, "-initrd", m.Initrd)
	}
	if m.Append != "" {
		a = append(a, "-append", m.Append)
	}
	return a
}

// args has an empty romfile: the firmware shall not boot from the network, and
// QEMU shall not want a package of boot ROMs.
func (n NIC) args(i int) []string {
	net := fmt.Sprintf("user,id=net%d", i)
	if n.Restrict {
		net += ",restrict=on"
	}
	if n.SSH != 0 {
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:22", n.SSH)
	}
	if n.Cable != (Cable{}) {
		net = fmt.Sprintf("dgram,id=net%d,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s", i, value(n.Cable.Here), value(n.Cable.There))
	}
	dev := fmt.Sprintf("%s,netdev=net%d,romfile=", n.Model, i)
	if n.MAC != "" {
		dev += ",mac=" + n.MAC
	}
	return []string{"-netdev", net, "-device", dev}
}

func otherArgs(m Machine) []string {
	var a []string
	if m.VGA {
		a = append(a, "-device", "VGA")
	}
	if m.Watchdog {
		a = append(a, "-device", "i6300esb", "-action", "watchdog=reset")
	}
	if m.TPM != "" {
		a = append(a, "-chardev", "socket,id=tpm,path="+value(m.TPM),
			"-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0")
	}
	if m.NoReboot {
		a = append(a, "-no-reboot")
	}
	return a
}

// value escapes a comma as QEMU's options want it.
func value(s string) string { return strings.ReplaceAll(s, ",", ",,") }
