package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/node"
	"psyopsOS/step"
	"psyopsOS/vm"
)

func vmCommand() command {
	return command{
		name: "vm", args: "COMMAND",
		short:   "start a disk image or a side in a virtual machine, for you or for a test",
		example: "tk vm diskimg",
		subs:    []command{vmDiskimg(), vmOSDir(), vmProfile(), vmTest()},
	}
}

const vmHelp = `
The guest's serial console is in this terminal. ` + vm.HowToLeave + `.
Nothing that the guest writes to its disks is kept without --keep. KVM is used
where it is asked for, or with --accel auto where a small guest has proved that
it works; a /dev/kvm that is there may still hang a guest.`

// vmFlags say what the machine has. They take their defaults from [vm].
type vmFlags struct {
	wordsAndFlags
	out, disk, disk2, usb, mac, accel string
	memory, cpus, ssh                 int
	keep                              bool
	image                             imageSettings
}

func newVMFlags(e env, c command, about string) *vmFlags {
	f := &vmFlags{wordsAndFlags: newFlags(e, c, about)}
	f.text(&f.out, "build.out")
	f.image.addFlags(f.wordsAndFlags)
	f.text(&f.disk2, "vm.disk2")
	f.text(&f.usb, "vm.usb")
	f.yes(&f.keep, "vm.keep")
	f.number(&f.memory, "vm.memory")
	f.number(&f.cpus, "vm.cpus")
	f.text(&f.mac, "vm.mac")
	f.number(&f.ssh, "vm.ssh")
	f.text(&f.accel, "vm.accel")
	return f
}

// takeDisk finds the disk image: the one that is named, or the one that `tk
// mkimage` made with this userland and kernel.
func (f *vmFlags) takeDisk() error {
	if f.disk == "" {
		var p project
		if err := p.take(f.image); err != nil {
			return err
		}
		f.disk = filepath.Join(f.out, p.imageName())
	}
	if _, err := os.Stat(f.disk); err != nil {
		return step.WithHint(err, "`tk mkimage diskimg` makes it")
	}
	return nil
}

// takePort finds a port for the guest's ssh. Another machine that runs has the
// usual one; that is no reason not to start a second.
func (f *vmFlags) takePort(e env) error {
	if f.ssh == 0 {
		return nil
	}
	taken := vm.PortIsFree(f.ssh)
	if taken == nil {
		return nil
	}
	if f.wasGiven("ssh") {
		return step.WithHint(fmt.Errorf("--ssh %d: %w", f.ssh, taken), "without --ssh a free port is taken where 2222 is not; --ssh 0 gives the guest none")
	}
	port, err := vm.FreePort()
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "Port %d is taken, by another virtual machine most likely.\n", f.ssh)
	f.ssh = port
	return nil
}

// machine is what all commands start, without what it boots from.
func (f *vmFlags) machine(ctx context.Context, e env) (vm.Machine, error) {
	if err := f.takePort(e); err != nil {
		return vm.Machine{}, err
	}
	m := vm.Machine{Memory: f.memory, CPUs: f.cpus, NoEvents: true, NICs: []vm.NIC{{MAC: firstOf(f.mac, node.DemoMAC), SSH: f.ssh}}}
	var err error
	if m.Accel, err = f.accelerator(ctx); err != nil {
		return m, err
	}
	for _, d := range []vm.Disk{{ID: "disk", Path: f.disk, BootIndex: 1}, {ID: "disk2", Path: f.disk2}, {ID: "stick", Path: f.usb, Bus: vm.USB, BootIndex: 2}} {
		if d.Path == "" {
			continue
		}
		if _, err := os.Stat(d.Path); err != nil {
			return m, err
		}
		d.Snapshot = !f.keep
		m.Disks = append(m.Disks, d)
	}
	return m, nil
}

// accelerator is tcg or kvm.
func (f *vmFlags) accelerator(ctx context.Context) (string, error) {
	accel, err := vm.ParseAccel(f.accel)
	if err != nil || accel != "auto" {
		return accel, err
	}
	if err := vm.Prove(ctx, "", "kvm"); err != nil {
		return "tcg", context.Cause(ctx)
	}
	return "kvm", nil
}

// withFirmware boots m by UEFI.
func withFirmware(m vm.Machine) (vm.Machine, error) {
	var err error
	m.Firmware, err = vm.FindFirmware(os.DirFS("/"))
	return m, err
}

// interactive gives the machine to the person.
func (f *vmFlags) interactive(ctx context.Context, e env, what string, m vm.Machine, dir string) error {
	fmt.Fprintf(e.stderr, "%s starts (%s, %d MiB, %d processors); what it writes to its disks is %s.\n", what, m.Accel, m.Memory, m.CPUs,
		map[bool]string{true: "kept", false: "thrown away"}[f.keep])
	if f.ssh != 0 {
		fmt.Fprintf(e.stderr, "Its ssh is at port %d: ssh -p %d root@127.0.0.1\n", f.ssh, f.ssh)
	}
	if m.Accel == "tcg" {
		fmt.Fprint(e.stderr, "Without KVM the login comes after about 40 seconds; --accel auto tries KVM.\n")
	}
	fmt.Fprintf(e.stderr, "In the demo userland root has no password. %s.\n\n", vm.HowToLeave)
	return vm.Interactive(ctx, m, dir, vm.Terminal{In: e.stdin, Out: e.stdout, Err: e.stderr})
}

// withRunDir gives do a folder for the run's own files.
func withRunDir(do func(dir string) error) error {
	dir, err := os.MkdirTemp("", "psyopsOS-vm-")
	if err != nil {
		return err
	}
	return errors.Join(do(dir), os.RemoveAll(dir))
}

func vmDiskimg() command {
	return command{
		name: "diskimg", args: "[--disk FILE] [--disk2 FILE] [--usb FILE] [--memory MiB] [--cpus N] [--mac M] [--ssh PORT] [--accel A] [--keep]",
		short:   "start a disk image with UEFI firmware, its console in this terminal",
		example: "tk vm diskimg --disk web1.img --memory 2048",
	}.with("vm", runDiskimg)
}

func runDiskimg(ctx context.Context, e env, c command, args []string) error {
	f := newVMFlags(e, c, "The boot loader speaks after about 5 seconds; Esc opens its menu.\n"+strings.TrimSpace(vmHelp))
	f.text(&f.disk, "vm.disk")
	if _, err := f.parse(e, args, 0, 0); err != nil {
		return err
	}
	return f.runDisk(ctx, e)
}

func (f *vmFlags) runDisk(ctx context.Context, e env) error {
	if err := f.takeDisk(); err != nil {
		return err
	}
	m, err := f.machine(ctx, e)
	if err != nil {
		return err
	}
	if m, err = withFirmware(m); err != nil {
		return err
	}
	return withRunDir(func(dir string) error { return f.interactive(ctx, e, f.disk, m, dir) })
}

func vmProfile() command {
	return command{
		name: "profile", args: "[NAME] [flags of diskimg]",
		short:   "start the machine that [vm.profile.NAME] of psyops.toml describes; without a NAME, list them",
		example: "tk vm profile web1",
	}.with("vm", runProfile)
}

const profileHelp = `
A profile sets in psyops.toml what the flags of tk vm diskimg set:

  [vm.profile.web1]
  disk = "web1.img"
  memory = 2048
  usb = "stick.img"

What it does not set comes from [vm]; flags and environment win.`

func runProfile(ctx context.Context, e env, c command, args []string) error {
	f, words, err := parseWithProfile(e, c, profileHelp+"\n"+vmHelp, args, func(*vmFlags) {})
	if err != nil {
		return err
	}
	if len(words) == 0 {
		for _, name := range e.settings.Profiles("vm") {
			fmt.Fprintln(e.stdout, name)
		}
		return nil
	}
	return f.runDisk(ctx, e)
}

// parseWithProfile parses flags whose defaults are those of the profile that
// the first word names. more adds flags.
func parseWithProfile(e env, c command, about string, args []string, more func(*vmFlags)) (*vmFlags, []string, error) {
	parse := func() (*vmFlags, []string, error) {
		f := newVMFlags(e, c, about)
		f.text(&f.disk, "vm.disk")
		more(f)
		words, err := f.parse(e, args, 0, 1)
		return f, words, err
	}
	f, words, err := parse()
	if err != nil || len(words) == 0 {
		return f, words, err
	}
	chosen, ok := e.settings.Profile("vm", words[0])
	if !ok {
		return nil, nil, noProfile(e.settings, words[0])
	}
	e.settings = chosen
	return parse()
}

func noProfile(s *settings.Settings, name string) error {
	names := s.Profiles("vm")
	if len(names) == 0 {
		return step.WithHint(fmt.Errorf("no profile %q", name), "write a table [vm.profile.%s] into psyops.toml", name)
	}
	return step.WithHint(fmt.Errorf("no profile %q; there are %s", name, strings.Join(names, ", ")), "the nearest is %s", step.Nearest(name, names))
}
