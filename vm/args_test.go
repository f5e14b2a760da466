package vm

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"psyopsOS/step"
)

var update = flag.Bool("update", false, "write the golden files")

func TestArguments(t *testing.T) {
	firmware := Firmware{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}
	for _, c := range []struct {
		name string
		make func(Machine, string) ([]string, error)
		in   Machine
	}{
		{"direct boot", Args, Machine{Kernel: "/k", Initrd: "/i", Append: "console=ttyS0 psyopsos=psyopsOS-A"}},
		{"firmware and a shared disk", Args, Machine{Firmware: firmware, Memory: 1024, CPUs: 2,
			Disks: []Disk{{Path: "/images/disk,1.img", Snapshot: true, BootIndex: 1}}, NICs: []NIC{{SSH: 20022, Restrict: true}}}},
		{"a disk on every bus", Args, Machine{Kernel: "/k", Disks: []Disk{
			{Path: "/0"}, {Path: "/1", Bus: AHCI}, {Path: "/2", Bus: NVMe, BootIndex: 1}, {Path: "/3", Bus: AHCI},
			{Path: "/4", Bus: USB, Format: "qcow2"}, {Path: "/5", Bus: USB, ID: "stick"}, {Path: "/6", Bus: SD},
			{Path: "/7", Bus: SCSI, ReadOnly: true}, {Path: "/8", Bus: SCSI, NoFlush: true}}}},
		{"disks that come and go", Args, Machine{Kernel: "/k", Disks: []Disk{
			{Path: "/0", Hotplug: true}, {Path: "/1", Absent: true}, {Path: "/2", Bus: USB, Absent: true}, {Path: "/3", Bus: NVMe, Absent: true}}}},
		{"no serial port", Args, Machine{Kernel: "/k", Translated: 32, NoConsole: true, NoEvents: true, VGA: true}},
		{"events without a console", Args, Machine{Kernel: "/k", NoConsole: true}},
		{"all the rest", Args, Machine{Kernel: "/k", Binary: "qemu", Accel: "kvm", CPUModel: "max,-erms,-fsrm", Watchdog: true, TPM: "/run/tpm",
			NoReboot: true, NICs: []NIC{{MAC: "52:54:00:00:00:01"}, {Model: "e1000e"}, {Cable: Cable{"/run/a,b", "/run/c"}}}, Extra: []string{"-S"}}},
		{"in the terminal", TerminalArgs, Machine{Firmware: firmware, Disks: []Disk{{Path: "/disk.img"}}, NICs: []NIC{{}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args, err := c.make(c.in, "/run/dir")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.name, strings.Join(args, "\n")+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".args")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMachinesThatCannotBeAreRefused(t *testing.T) {
	disk := func(d Disk) Machine { return Machine{Kernel: "/k", Disks: []Disk{d}} }
	for _, c := range []struct {
		name string
		in   Machine
		want string
	}{
		{"nothing to boot", Machine{}, "neither a kernel nor a firmware"},
		{"a command line for no kernel", Machine{Firmware: Firmware{"/c", "/v"}, Append: "quiet"}, "no kernel"},
		{"an accelerator of another system", Machine{Kernel: "/k", Accel: "hvf"}, `unknown accelerator "hvf"`},
		{"a disk without a file", disk(Disk{}), "disk disk0: it has no file"},
		{"a format that QEMU guesses", disk(Disk{Path: "/d", Format: "auto"}), `unknown format "auto"`},
		{"a bus that is none", disk(Disk{Path: "/d", Bus: "floppy"}), `unknown bus "floppy"`},
		{"an id with a comma", disk(Disk{Path: "/d", ID: "a,b"}), "disk a,b: its id"},
		{"read-only on ahci", disk(Disk{Path: "/d", Bus: AHCI, ReadOnly: true}), "read-only"},
		{"an sd card in the boot order", disk(Disk{Path: "/d", Bus: SD, BootIndex: 1}), "boot order"},
		{"an ahci disk to be plugged", disk(Disk{Path: "/d", Bus: AHCI, Absent: true}), "neither plugged nor unplugged"},
		{"two disks of one name", Machine{Kernel: "/k", Disks: []Disk{{Path: "/a", ID: "x"}, {Path: "/b", ID: "x"}}}, "two disks are called x"},
		{"two sd cards", Machine{Kernel: "/k", Disks: []Disk{{Path: "/a", Bus: SD}, {Path: "/b", Bus: SD}}}, "one slot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Args(c.in, "/run/dir")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestAnAcceleratorIsAChoice(t *testing.T) {
	for in, want := range map[string]string{"": "tcg", "tcg": "tcg", "kvm": "kvm", "yes": ""} {
		got, err := AccelFromEnv(func(string) string { return in })
		if got != want || (err == nil) != (want != "") {
			t.Errorf("QEMU_ACCEL=%s: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestFirmwareIsFoundWithItsVariables(t *testing.T) {
	file := &fstest.MapFile{}
	for _, c := range []struct {
		name string
		root fstest.MapFS
		want string
	}{
		{"the large flash comes first", fstest.MapFS{
			"usr/share/OVMF/OVMF_CODE.fd": file, "usr/share/OVMF/OVMF_VARS.fd": file,
			"usr/share/OVMF/OVMF_CODE_4M.fd": file, "usr/share/OVMF/OVMF_VARS_4M.fd": file}, "/usr/share/OVMF/OVMF_CODE_4M.fd"},
		{"code without variables is passed over", fstest.MapFS{
			"usr/share/OVMF/OVMF_CODE_4M.fd":   file,
			"usr/share/edk2/ovmf/OVMF_CODE.fd": file, "usr/share/edk2/ovmf/OVMF_VARS.fd": file}, "/usr/share/edk2/ovmf/OVMF_CODE.fd"},
		{"Arch", fstest.MapFS{
			"usr/share/edk2/x64/OVMF_CODE.4m.fd": file, "usr/share/edk2/x64/OVMF_VARS.4m.fd": file}, "/usr/share/edk2/x64/OVMF_CODE.4m.fd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := FindFirmware(c.root); err != nil || got.Code != c.want {
				t.Errorf("got %+v, %v, want %s", got, err, c.want)
			}
		})
	}
	_, err := FindFirmware(fstest.MapFS{})
	if err == nil || !strings.Contains(step.HintOf(err), "ovmf") {
		t.Errorf("got %v with hint %q, want an error whose hint names the package", err, step.HintOf(err))
	}
}
