package boot

import (
	"context"
	"slices"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/secret"
	"psyopsOS/step"
)

// Steps is the whole boot, from a parsed command line to the last moment
// before the new init: read it from top to bottom. Each step is a method of
// journey, in the file named after its chapter.
func Steps(c Cmdline, m Machine) []step.Step {
	j := &journey{c: c, m: m, warned: map[string]bool{}}
	steps := j.fromSide()
	if c.Side == "" {
		steps = j.fromPlainRoot()
	}
	return j.hinted(j.withShell(steps))
}

// hinted gives a failure that has no hint of its own the one that is always
// right: nobody shall stand before a machine that says only what is wrong.
func (j *journey) hinted(steps []step.Step) []step.Step {
	var all []step.Step
	for _, s := range steps {
		if len(s.Lines()) > 0 {
			var lines []step.Line
			for _, l := range s.Lines() {
				lines = append(lines, j.hinted(l))
			}
			all = append(all, step.Together(lines...))
			continue
		}
		do := s.Do
		s.Do = func(ctx context.Context, r *step.Reporter) error { return j.c.withHint(do(ctx, r)) }
		all = append(all, s)
	}
	return all
}

func (c Cmdline) withHint(err error) error {
	switch {
	case err == nil || step.HintOf(err) != "":
		return err
	case c.Side == "":
		return step.WithHint(err, "look at dmesg, and at root=, rootfstype=, rootflags= and init= of the command line")
	}
	return step.WithHint(err, "look at dmesg in the emergency shell; if it stays so, choose %s in the GRUB menu", c.Side.Other())
}

// withShell puts the emergency shell where the command line asks for it:
// single and psyopsos.shell=first once the storage drivers are there, before
// anything is mounted; psyopsos.shell=before-handover at the end.
func (j *journey) withShell(steps []step.Step) []step.Step {
	shell := func(asked string) step.Step {
		// Where it cannot be offered, without a console for instance, a boot is
		// of more use than none.
		return step.Step{Name: "emergency shell", Optional: true, Do: func(ctx context.Context, r *step.Reporter) error {
			r.Note("as %s asks", asked)
			return j.m.Shell(ctx, asked)
		}}
	}
	switch {
	case j.c.Single:
		return slices.Insert(steps, 2, shell("single"))
	case j.c.Shell == ShellFirst:
		return slices.Insert(steps, 2, shell("psyopsos.shell=first"))
	case j.c.Shell == ShellBeforeHandover:
		return append(steps, shell("psyopsos.shell=before-handover"))
	}
	return steps
}

// fromSide boots psyopsos=psyopsOS-A or -B. What need not wait for one another
// runs side by side: most machines have more than one processor. After says
// what a step needs of the lines beside its own, and nothing waits for more.
func (j *journey) fromSide() []step.Step {
	return []step.Step{
		{Name: "read the command line", Do: j.tellCmdline},
		j.loadFirstDrivers(),
		step.Together(
			step.Line{ // the long one, where much is copied
				{Name: "find " + string(j.c.Side), Do: j.findSide},
				{Name: "mount " + string(j.c.Side), Do: j.mountSide},
				{Name: "verify the manifest", Do: j.verifyManifest},
				{Name: "plan memory", Do: j.planMemory}, // after the manifest: what a broken side says first must not be chance
				{Name: "copy squashfs", Do: j.copySquashfs},
				{Name: "mount the new root", Do: j.mountRoot},
				{Name: "install modules", Do: j.installModules},
				{Name: "install mount points", Do: j.installMountPoints},
				{Name: "install psyops-secret", After: []string{"wait for psyops-secret"}, Do: j.installSecret},
			},
			step.Line{
				{Name: "list devices and modules", Optional: true, Do: j.listHardware},
				{Name: "load drivers at hand", Optional: true, Do: j.loadDriversAtHand},
				{Name: "copy modloop", After: []string{"plan memory"}, Do: j.copyModloop},
				{Name: "mount modloop", Do: j.mountModloop},
				{Name: "load drivers", Optional: true, Do: j.loadDrivers},
				{Name: "name network links", Optional: true, After: []string{"wait for psyops-secret"}, Do: j.nameLinks},
			},
			step.Line{
				{Name: "read psyops-secret", Optional: true, After: []string{"verify the manifest"}, Do: j.readSecret},
				{Name: "prepare the node's files", Do: j.prepareFiles},
				{Name: "wait for psyops-secret", Optional: true, After: []string{"load drivers"}, Unless: j.isSecretRead, Do: j.awaitSecret},
				{Name: "look for duplicates", Optional: true, After: []string{"load drivers"}, Do: j.findDuplicates},
			},
			step.Line{
				{Name: "read the new init", Optional: true, After: []string{"mount the new root"}, Do: j.readInit},
			},
			step.Line{
				{Name: "let go of the boot disk", After: []string{"copy squashfs", "copy modloop", "look for duplicates"}, Do: j.releaseDisk},
			},
		),
		{Name: "configure the network", Do: j.configureNetwork},
	}
}

// fromPlainRoot boots root=DEVICE without sides, keys or secrets: for rescue,
// and for the first hour of a new userland.
func (j *journey) fromPlainRoot() []step.Step {
	return []step.Step{
		{Name: "read the command line", Do: j.tellCmdline},
		j.loadFirstDrivers(),
		{Name: "find " + j.c.Root, Do: j.findPlainRoot},
		{Name: "mount the new root", Do: j.mountPlainRoot},
		{Name: "load drivers", Optional: true, Do: j.loadDrivers},
	}
}

// loadFirstDrivers loads what is in the initramfs. The kernel checks a
// signature of each module: on two processors at once that takes half the time.
func (j *journey) loadFirstDrivers() step.Step {
	return step.Together(
		step.Line{{Name: "load storage drivers", Do: j.loadStorageDrivers}},
		step.Line{{Name: "load filesystem drivers", Do: j.loadFilesystemDrivers}},
	)
}

// A journey is what the steps of one boot hand on to one another. Each field
// is written by the step named beside it and only read by later ones: in its own
// line, or After it.
type journey struct {
	c Cmdline
	m Machine

	sought   bool             // find
	side     mounts.Volume    // find
	seen     []mounts.Volume  // find, wait for psyops-secret: all that was there
	warned   map[string]bool  // find, look for duplicates: those that were named
	manifest release.Manifest // verify the manifest
	toRAM    bool             // plan memory
	squashfs string           // copy squashfs: the file to loop
	modloop  string           // copy modloop: the file to loop
	drivers  *Drivers         // load storage drivers, load drivers
	devices  Devices          // list devices and modules
	tables   Tables           // likewise: the modloop's
	node     secret.Node      // read or wait for psyops-secret
	secret   mounts.Volume    // likewise
	files    []secret.File    // prepare the node's files, wait for psyops-secret
	wired    string           // name network links: the first wired one
}

// source is the path of a file on the mounted side.
func (j *journey) source(name string) string { return j.m.path(sideMount(j.c.Side), name) }

// sideMount is where a side is mounted: the same place before and after the
// hand-over.
func sideMount(side layout.Label) string {
	if side == layout.SideB {
		return layout.MountSideB
	}
	return layout.MountSideA
}
