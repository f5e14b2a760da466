package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"psyopsOS/node"
	"psyopsOS/step"
	"psyopsOS/vm"
)

func vmCommand() command {
	return command{
		name: "vm", args: "diskimg [--out DIR] [--disk FILE] [--memory MiB] [--ssh PORT] [--keep]",
		short:   "start a disk image in a virtual machine, with its console in this terminal",
		example: "tk vm diskimg",
		run:     runVM,
	}
}

func runVM(ctx context.Context, e env, args []string) error {
	flags := flag.NewFlagSet("vm diskimg", flag.ContinueOnError)
	flags.SetOutput(e.stderr)
	out := flags.String("out", "artifacts", "the folder of `tk mkimage`")
	disk := flags.String("disk", "", "another disk image than DIR/"+defaultImage)
	memory := flags.Int("memory", 1024, "memory in MiB")
	ssh := flags.Int("ssh", 2222, "the port of 127.0.0.1 that leads to the guest's ssh; 0: none")
	keep := flags.Bool("keep", false, "keep what the guest writes to its disk")
	if len(args) == 0 || args[0] != "diskimg" {
		return usagef("what to start: diskimg")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return flagError(err)
	}
	if *disk == "" {
		*disk = filepath.Join(*out, defaultImage)
	}
	if _, err := os.Stat(*disk); err != nil {
		return step.WithHint(err, "`tk mkimage diskimg` makes it")
	}
	firmware, err := vm.FindFirmware(os.DirFS("/"))
	if err != nil {
		return err
	}
	accel, err := vm.AccelFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "psyopsOS-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(e.stderr, "%s starts (%s, %d MiB); what it writes to its disk is %s.\n"+
		"The loader speaks after about 5 seconds (Esc: its menu), the login comes after about 40 without KVM.\n"+
		"Log in as root, without a password. %s.\n\n",
		*disk, accel, *memory, map[bool]string{true: "kept", false: "thrown away"}[*keep], vm.HowToLeave)
	return vm.Interactive(ctx, vm.Machine{
		Accel: accel, Memory: *memory, Firmware: firmware, NoEvents: true,
		Disks: []vm.Disk{{Path: *disk, BootIndex: 1, Snapshot: !*keep}},
		NICs:  []vm.NIC{{MAC: node.DemoMAC, SSH: *ssh}},
	}, dir, vm.Terminal{In: e.stdin, Out: e.stdout, Err: e.stderr})
}
