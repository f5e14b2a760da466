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

	"psyopsOS/step"
)

// Drivers loads the modules of one folder into the kernel. The same code
// serves the initramfs, whose folder has only what finding the side needs, and
// the modloop, which has the rest. It is used by one goroutine at a time.
type Drivers struct {
	dir        string
	tree       ModuleTree
	kernel     Modules
	blacklist  map[string]bool
	leave      []string // folders of modules that no device gets from here
	parameters map[string]string
	loaded     map[string]bool
	failed     map[string]error // not tried again for another device
	seen       map[string]bool  // modaliases that are dealt with
	ahead      bool             // the folder's tables had been read before
}

// A DriverReport is what came of loading. One module that does not load is
// told and nothing more: a machine has many drivers that it can do without.
type DriverReport struct {
	Loaded []string
	Failed []error // each a *ModuleError, or of a name that nobody knows
}

// A ModuleError is a module that the kernel did not take.
type ModuleError struct {
	Module, File string
	Err          error
}

func (e *ModuleError) Error() string { return fmt.Sprintf("load %s (%s): %v", e.Module, e.File, e.Err) }
func (e *ModuleError) Unwrap() error { return e.Err }

// OpenDrivers reads a folder /lib/modules/VERSION. Blacklist and parameters
// are the command line's.
func OpenDrivers(dir string, kernel Modules, c Cmdline) (*Drivers, error) {
	return OpenDriversWith(Tables{}, dir, kernel, c)
}

// OpenDriversWith is OpenDrivers where the folder's tables may have been read
// before. Others are not used.
func OpenDriversWith(ahead Tables, dir string, kernel Modules, c Cmdline) (*Drivers, error) {
	folder := os.DirFS(dir)
	same := ahead.areOf(folder)
	tree, err := ahead.tree, error(nil)
	if !same {
		tree, err = ReadModuleTree(folder)
	}
	if err != nil {
		return nil, step.WithHint(fmt.Errorf("modules in %s: %w", dir, err),
			"the kernel and its modules must be of the same release: depmod makes the tables when the image is built")
	}
	loaded, err := kernel.Loaded()
	if err != nil {
		return nil, fmt.Errorf("list loaded modules: %w", err)
	}
	d := &Drivers{dir: dir, tree: tree, kernel: kernel, parameters: c.Parameters, ahead: same,
		blacklist: map[string]bool{}, loaded: map[string]bool{}, failed: map[string]error{}, seen: map[string]bool{}}
	for _, name := range c.Blacklist {
		d.blacklist[moduleName(name)] = true
	}
	for _, name := range loaded {
		d.loaded[moduleName(name)] = true
	}
	return d, nil
}

// Leave leaves the modules below these folders of the kernel's tree to somebody
// later, whatever device asks for them. By name, and where another module
// needs them, they are loaded all the same.
func (d *Drivers) Leave(folders ...string) { d.leave = append(d.leave, folders...) }

func (d *Drivers) left(module string) bool {
	file := d.tree.Modules[module].File
	return slices.ContainsFunc(d.leave, func(folder string) bool { return strings.HasPrefix(file, folder+"/") })
}

// Load loads modules by name, or by an alias that is no device's, such as
// fs-ext4. What failed before is tried again: somebody asks for it.
func (d *Drivers) Load(ctx context.Context, names ...string) DriverReport {
	var r DriverReport
	for _, name := range names {
		modules := d.tree.Named(name, d.blacklist)
		if len(modules) == 0 && !d.loaded[moduleName(name)] {
			r.Failed = append(r.Failed, d.unknown(name))
		}
		for _, again := range d.tree.LoadPlan(modules, d.loaded, d.blacklist) {
			delete(d.failed, again)
		}
		d.insert(ctx, modules, &r)
	}
	return r
}

func (d *Drivers) unknown(name string) error {
	err := fmt.Errorf("no module or alias %s in %s", name, d.dir)
	if near := step.Nearest(moduleName(name), slices.Sorted(maps.Keys(d.tree.Modules))); near != "" {
		return step.WithHint(err, "the nearest name is %s", near)
	}
	return err
}

// LoadFor loads the drivers of devices, as a uevent names them. A modalias
// that was dealt with is not looked at again.
func (d *Drivers) LoadFor(ctx context.Context, modaliases ...string) DriverReport {
	var r DriverReport
	d.loadFor(ctx, modaliases, &r)
	return r
}

func (d *Drivers) loadFor(ctx context.Context, modaliases []string, r *DriverReport) {
	var want []string
	for _, m := range modaliases {
		if !d.seen[m] {
			d.seen[m] = true
			want = append(want, slices.DeleteFunc(d.tree.ForDevice(m, d.blacklist), d.left)...)
		}
	}
	d.insert(ctx, want, r)
}

// Coldplug loads the drivers of all devices that are there, and again as long
// as loading one has shown new devices, until there is enough; nil: there never
// is. Who knows what is enough waits for a disk: the buses where those hang are
// asked first, and the others where that was in vain.
func (d *Drivers) Coldplug(ctx context.Context, enough func() bool) DriverReport {
	var r DriverReport
	var buses []string
	if enough != nil {
		buses = []string{"pci", "virtio"}
	}
	d.coldplug(ctx, map[string]bool{}, buses, enough, &r)
	return r
}

// ColdplugListed is Coldplug where most of the devices were listed before.
func (d *Drivers) ColdplugListed(ctx context.Context, devices Devices) DriverReport {
	if devices.known == nil {
		return d.Coldplug(ctx, nil)
	}
	var r DriverReport
	d.loadFor(ctx, devices.modaliases, &r)
	d.coldplug(ctx, maps.Clone(devices.known), nil, nil, &r) // a list stays as it is
	return r
}

func (d *Drivers) coldplug(ctx context.Context, known map[string]bool, buses []string, enough func() bool, r *DriverReport) {
	for { // each round but the last two loads a module, and there are so many
		before := len(r.Loaded)
		modaliases, err := d.kernel.Modaliases(known, buses...)
		if err != nil {
			r.Failed = append(r.Failed, fmt.Errorf("list devices: %w", err))
		}
		d.loadFor(ctx, modaliases, r)
		switch {
		case enough != nil && enough():
			return
		case len(r.Loaded) > before:
		case buses == nil:
			return
		default:
			buses = nil
		}
	}
}

// Devices are those that were there when they were listed, and what they ask
// for.
type Devices struct {
	known      map[string]bool
	modaliases []string
}

// ListDevices lists them: the most of what a Coldplug does before it loads
// anything, and nobody needs to have modules for it.
func ListDevices(kernel Modules) (Devices, error) {
	d := Devices{known: map[string]bool{}}
	var err error
	d.modaliases, err = kernel.Modaliases(d.known)
	return d, err
}

// insert loads the modules wanted and all that they need. One whose need did
// not load is not tried.
func (d *Drivers) insert(ctx context.Context, want []string, r *DriverReport) {
	for _, name := range d.tree.LoadPlan(want, d.loaded, d.blacklist) {
		if d.failed[name] != nil {
			continue
		}
		if ctx.Err() != nil {
			r.Failed = append(r.Failed, fmt.Errorf("load %s and more: %w", name, context.Cause(ctx)))
			return
		}
		file := filepath.Join(d.dir, d.tree.Modules[name].File)
		err := d.missingNeed(name)
		if err == nil {
			err = d.kernel.Insert(file, d.parameters[name])
		}
		if err != nil {
			d.failed[name] = &ModuleError{name, file, err}
			r.Failed = append(r.Failed, d.failed[name])
			continue
		}
		d.loaded[name] = true
		r.Loaded = append(r.Loaded, name)
	}
}

// missingNeed is an error where a module that name needs has failed.
func (d *Drivers) missingNeed(name string) error {
	for _, need := range d.tree.Modules[name].Needs() {
		var e *ModuleError
		if errors.As(d.failed[need], &e) {
			return fmt.Errorf("it needs %s: %w", need, e.Err)
		}
	}
	return nil
}
