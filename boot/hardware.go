package boot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/step"
)

// loadStorageDrivers loads modules= and then what the hardware asks for, of
// the modules in the initramfs: those that finding and reading a side needs.
// It ends with the first disk: as a rule that is the booted one, and where it
// is not, the search asks the hardware again.
func (j *journey) loadStorageDrivers(ctx context.Context, r *step.Reporter) (err error) {
	j.drivers, err = OpenDrivers(j.m.path("/lib/modules", j.m.Kernel), j.m.Modules, j.c)
	if err != nil {
		return err
	}
	tellDrivers(r, j.drivers.Load(ctx, j.c.Modules...))
	j.drivers.Leave("kernel/drivers/net") // to loadDriversAtHand: the search for the side need not wait
	tellDrivers(r, j.drivers.Coldplug(ctx, j.hasDisk))
	return nil
}

func (j *journey) hasDisk() bool {
	names, err := j.m.Storage.DeviceNames()
	return err == nil && len(names) > 0
}

// loadFilesystemDrivers loads what no device asks for: the side's file system,
// and what the new root is made with. It runs beside the storage drivers, with
// a list of its own of what is loaded.
func (j *journey) loadFilesystemDrivers(ctx context.Context, r *step.Reporter) error {
	drivers, err := OpenDrivers(j.m.path("/lib/modules", j.m.Kernel), j.m.Modules, j.c)
	if err != nil {
		return err
	}
	tellDrivers(r, ifThere(drivers.Load(ctx, "fs-ext4", "loop", "squashfs", "overlay")))
	return nil
}

// hotplug loads the drivers of devices that came while the side is awaited.
func (j *journey) hotplug(ctx context.Context, r *step.Reporter) func([]mounts.Uevent) {
	return func(burst []mounts.Uevent) {
		if len(burst) == 0 { // some were lost
			tellDrivers(r, j.drivers.Coldplug(ctx, nil))
			return
		}
		for _, event := range burst {
			if event.Action == "add" && event.Modalias != "" {
				tellDrivers(r, j.drivers.LoadFor(ctx, event.Modalias))
			}
		}
	}
}

// ifThere forgets names that no module has: those may be built in.
func ifThere(report DriverReport) DriverReport {
	report.Failed = slices.DeleteFunc(report.Failed, func(err error) bool {
		var e *ModuleError
		return !errors.As(err, &e)
	})
	return report
}

// tellDrivers tells what was loaded. That a driver finds no device which it
// can drive is usual: modaliases of processors promise more than there is.
func tellDrivers(r *step.Reporter, report DriverReport) {
	if len(report.Loaded) > 0 {
		r.Note("loaded %s", strings.Join(report.Loaded, " "))
	}
	var idle []string
	for _, err := range report.Failed {
		var e *ModuleError
		if errors.As(err, &e) && errors.Is(e.Err, unix.ENODEV) {
			idle = append(idle, e.Module)
			continue
		}
		r.Warn(err)
	}
	if len(idle) > 0 {
		r.Note("no device for %s", strings.Join(idle, " "))
	}
}

// loadDrivers loads the rest of the hardware's drivers from the modloop, and
// modules= that the initramfs did not have.
func (j *journey) loadDrivers(ctx context.Context, r *step.Reporter) error {
	drivers, err := OpenDriversWith(j.tables, j.m.path(layout.ModloopDir, "modules", j.m.Kernel), j.m.Modules, j.c)
	if err != nil {
		return err
	}
	r.Fact("tables_ahead", drivers.ahead, "")
	j.pointToFirmware(r)
	tellDrivers(r, drivers.Load(ctx, j.c.Modules...))
	drivers.Leave(laterFolders()...)
	tellDrivers(r, drivers.ColdplugListed(ctx, j.devices))
	j.drivers = drivers
	return nil
}

// listHardware is what loading the rest of the drivers needs first, done while
// the side is looked for: a processor has time then. Out of the modloop its
// tables took 50 ms, on a stick they are eight reads here and there.
func (j *journey) listHardware(ctx context.Context, r *step.Reporter) (err error) {
	j.devices, err = ListDevices(j.m.Modules)
	var errTables error
	j.tables, errTables = ReadTables(os.DirFS(j.m.path("/lib/modules", j.m.Kernel, layout.ModloopTables)))
	return errors.Join(err, optional(errTables))
}

// loadDriversAtHand loads of the hardware's drivers those that the initramfs
// has, while the side is looked for: what the storage drivers left when they had
// found a disk. It has a list of its own of what is loaded.
func (j *journey) loadDriversAtHand(ctx context.Context, r *step.Reporter) error {
	drivers, err := OpenDrivers(j.m.path("/lib/modules", j.m.Kernel), j.m.Modules, j.c)
	if err != nil {
		return err
	}
	drivers.Leave(laterFolders()...)
	tellDrivers(r, drivers.ColdplugListed(ctx, j.devices))
	return nil
}

// laterFolders have drivers that nothing needs before OpenRC's hwdrivers: no
// disk, no network card, no bus or keyboard that leads to one. Those of screens
// and sound take seconds on the metal. What is not named here is loaded.
func laterFolders() []string {
	return []string{
		"kernel/arch", "kernel/crypto", "kernel/sound", "kernel/drivers/accel", "kernel/drivers/acpi",
		"kernel/drivers/cpufreq", "kernel/drivers/crypto", "kernel/drivers/edac", "kernel/drivers/firmware", "kernel/drivers/gpu",
		"kernel/drivers/hwmon", "kernel/drivers/iio", "kernel/drivers/input", "kernel/drivers/leds", "kernel/drivers/media",
		"kernel/drivers/platform", "kernel/drivers/powercap", "kernel/drivers/rtc", "kernel/drivers/thermal",
		"kernel/drivers/video",
	}
}

// pointToFirmware lets drivers that are loaded here find their firmware, which
// the kernel looks for in /lib/firmware of a root that is not there yet.
func (j *journey) pointToFirmware(r *step.Reporter) {
	const parameter = "/sys/module/firmware_class/parameters/path"
	err := os.WriteFile(j.m.path(parameter), []byte(j.m.path(layout.ModloopDir, "modules/firmware")), 0o644)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.Warn(err)
	}
}

// mountModloop mounts the modules of this release where Alpine's modloop
// service will look for them.
func (j *journey) mountModloop(ctx context.Context, r *step.Reporter) error {
	device, err := j.m.Storage.LoopMount(mounts.LoopMount{
		File: j.modloop, Target: j.m.path(layout.ModloopDir), Type: "squashfs",
		Flags: mounts.NoDev | mounts.NoSUID | mounts.NoExec, Direct: !j.toRAM,
	})
	if err != nil {
		return j.otherSide(err)
	}
	r.Note("modloop is %s", device)
	kernel := j.m.path(layout.ModloopDir, "modules", j.m.Kernel)
	if _, err := os.Stat(kernel); err != nil {
		err := step.WithHint(fmt.Errorf("the modloop of %s has no modules for the running kernel %s", j.c.Side, j.m.Kernel),
			"was kernel and initramfs of another release loaded? choose a side in the GRUB menu")
		// Without drivers of its network cards a node may be healthy by every
		// check that it has, and never be heard of again. A trial is there to
		// find that out; where no other side is promised, a system without
		// drivers is of more use than none.
		if j.c.Boot.IsTrial() {
			return errors.Join(err, j.m.Storage.Unmount(j.m.path(layout.ModloopDir)))
		}
		r.Warn(err)
	}
	return nil
}

// installModules makes /lib/modules and /lib/firmware work before OpenRC's
// modloop service runs, and the same way as it makes them.
func (j *journey) installModules(ctx context.Context, r *step.Reporter) error {
	modules, firmware := j.m.newPath("/lib/modules"), j.m.newPath("/lib/firmware")
	if err := errors.Join(os.RemoveAll(modules), os.MkdirAll(j.m.newPath("/lib"), 0o755)); err != nil {
		return err
	}
	err := os.Symlink(layout.ModloopDir+"/modules", modules)
	if options := modprobeOptions(j.c); options != "" {
		file := j.m.newPath("/etc/modprobe.d/kernel-command-line.conf")
		err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(options), 0o644))
	}
	// An image may bring firmware of its own: then it stays.
	if removed := os.Remove(firmware); removed == nil || errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, os.Symlink("/lib/modules/firmware", firmware))
	}
	return err
}

// modprobeOptions tells the running system's modprobe what the command line
// says about modules: it loads some again when OpenRC looks at the hardware.
func modprobeOptions(c Cmdline) string {
	var b strings.Builder
	for _, name := range c.Blacklist {
		fmt.Fprintf(&b, "blacklist %s\n", moduleName(name))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
		fmt.Fprintf(&b, "options %s %s\n", name, c.Parameters[name])
	}
	return b.String()
}
