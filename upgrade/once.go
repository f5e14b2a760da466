package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/efi"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// A loader that loads and hangs is not noticed by the firmware. So where EFI
// variables work the new one is at first not where the firmware looks: it lies
// in SPARE.EFI, and BootNext has the firmware start that once. After a hang a
// power cycle takes the old one. The commit of a boot through the new one lets
// the two change places. Until then the release's signature waits, under
// another name: the partition does not hold the release yet.

// (A cut between the two writes of the firmware's variables, some milliseconds,
// makes it look as if a loader was tried that was not: --force tries it then.)

// entryPrefix is how the title of our boot entry begins; the loader's version
// follows.
const entryPrefix = "psyopsOS loader "

// Once is a new loader that is not the default yet.
type Once struct {
	Spare LoaderFile // with a signature that waits; else the zero one
	Next  bool       // the firmware starts it with the next restart
	Tried bool       // the firmware was asked, and has done it
	// Unusable is why the firmware cannot be asked; nil where it can.
	Unusable error
}

// runsOnce says whether this machine was booted through a new loader that is
// not the default yet.
func (l Loader) runsOnce() bool {
	return l.Once.Spare.Version != "" && l.Once.Spare.Version == l.Running && l.On1.Version != l.Running
}

// failedOnce says whether the new loader was started, and no boot through it
// was committed.
func (l Loader) failedOnce() bool {
	return l.Once.Tried && !l.Once.Next && l.Once.Spare.Version != l.Running && l.Once.Spare.Version != l.On1.Version
}

// asksOnce says whether the next restart goes through the new loader.
func (l Loader) asksOnce() bool { return l.Once.Next && l.ChangedNow }

// ignoredOnce says whether the firmware was asked in an earlier boot and has
// done nothing: some know no BootNext.
func (l Loader) ignoredOnce() bool { return l.Once.Next && !l.ChangedNow }

// unusable is why the firmware cannot be asked.
func (l Loader) unusable() error {
	if l.Once.Unusable == nil && l.ignoredOnce() {
		return errors.New("it was asked before, and has not done it")
	}
	return l.Once.Unusable
}

// news is what ChangedNow says, for people.
func (l Loader) news() string {
	if l.asksOnce() {
		return "a new loader is started with the next restart"
	}
	return "the loader was replaced in this boot"
}

// onceWord is the same for people.
func (l Loader) onceWord() string {
	switch version := l.Once.Spare.Version; {
	case version == "":
		return ""
	case l.runsOnce():
		return version + " runs; a commit makes it the default"
	case l.ignoredOnce():
		return version + " was to be started once, and the firmware has not done it; `neuralupgrade apply efisys` replaces the loader at once"
	case l.asksOnce():
		return version + " is started once, with the next restart; a commit then makes it the default"
	case l.failedOnce():
		return version + " was started once and not committed: it hangs, or what it started was not healthy"
	}
	return ""
}

// once looks for a new loader, and at what the firmware was asked.
func (i *inspector) once(f Firmware, first io.ReaderAt) (o Once) {
	vars, err := i.variables(f)
	o.Unusable = err
	names, errNames := namesOf(first, layout.ESPTarWaiting)
	if errNames != nil || len(names) == 0 {
		return o
	}
	o.Spare = loaderAt(first, layout.LoaderSpare)
	if err != nil || o.Spare.Err != nil {
		return o
	}
	asked, err := vars.Asked()
	if err != nil {
		o.Unusable = err
		return o
	}
	if asked.Title == entryPrefix+o.Spare.Version && asked.Partition.UUID == f.Device.PartUUID {
		o.Next, o.Tried = asked.Next, true
	}
	return o
}

// variables are the firmware's, where the disk is the one that it started this
// machine from.
func (i *inspector) variables(f Firmware) (efi.Once, error) {
	if i.images != nil || i.disk == "" || f.Device.Disk != i.disk {
		return efi.Once{}, errors.New("this machine was not booted from that disk")
	}
	for _, p := range i.points {
		if p.Type != "efivarfs" {
			continue
		}
		if strings.HasPrefix(p.SuperOptions+",", "ro,") || strings.HasPrefix(p.Options+",", "ro,") {
			return efi.Once{}, fmt.Errorf("the EFI variables at %s are mounted read-only", p.Path)
		}
		return efi.Once{Variables: i.e.Variables(filepath.Join(i.e.Root, p.Path)), Prefix: entryPrefix}, nil
	}
	return efi.Once{}, errors.New("there are no EFI variables: no efivarfs is mounted")
}

// entry is the boot entry for the new loader.
func (w *espWriting) entry() (efi.LoadOption, error) {
	d := w.Firmware.Device
	text, err := os.ReadFile(filepath.Join(w.e.Root, "/sys/class/block", d.Name, "start"))
	if err != nil {
		return efi.LoadOption{}, err
	}
	start, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // in units of 512 bytes
	if err != nil {
		return efi.LoadOption{}, err
	}
	sector := int64(max(d.SectorSize, 512))
	return efi.LoadOption{Title: entryPrefix + w.Release.Info.Version, File: layout.LoaderSpare,
		Partition: efi.Partition{Number: uint32(d.Partition), Start: uint64(start * 512 / sector), Sectors: uint64(d.Size / sector), UUID: d.PartUUID}}, nil
}

// takeBack makes sure that the firmware does not start what is being written.
func (w *espWriting) takeBack(*step.Reporter) error {
	vars, err := w.variables()
	if err != nil {
		return err
	}
	return vars.TakeBack()
}

func (w *espWriting) variables() (efi.Once, error) {
	points, err := w.e.Storage.Mounts()
	i := inspector{e: w.e, points: points, disk: w.Firmware.Device.Disk}
	if err != nil {
		return efi.Once{}, err
	}
	return i.variables(w.ESPPlan.Firmware)
}

// wait has the signature wait for the commit.
func (w *espWriting) wait(r *step.Reporter) error {
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error {
		changes := w.Release.signed(w.Release.gone(w.old))
		for i, c := range changes {
			if !c.Remove {
				changes[i].Path = layout.ESPTarWaiting + strings.TrimPrefix(c.Path, layout.ESPTarSignature)
			}
		}
		return blocks(d, r, func() ([]bootstate.BlockWrite, error) {
			return bootstate.PlanFiles(d, d.SectorSize(), w.Now, changes...)
		})
	})
}

// ask is the last write. Where the firmware does not take it, its variables do
// not work, and the loader is replaced at once, as where there are none.
func (w *espWriting) ask(r *step.Reporter) error {
	if err := w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error { return holds(d, layout.LoaderSpare, w.Release.Loader) }); err != nil {
		return err
	}
	if err := markChanged(w.e.Root); err != nil {
		return err
	}
	err := w.askFirmware()
	if err == nil {
		r.Fact("boot_next", w.Release.Info.Version, "the firmware starts %s with the next restart, once", layout.LoaderSpare)
		return nil
	}
	r.Warn(step.WithHint(fmt.Errorf("the firmware does not take it: %w", err), "the loader is replaced at once instead"))
	if err := w.takeBack(r); err != nil {
		r.Warn(err)
	}
	if err := w.swap(r); err != nil {
		return err
	}
	return signWaiting(w.e, w.ESPPlan.Firmware, w.Now, r)
}

func (w *espWriting) askFirmware() error {
	entry, err := w.entry()
	if err != nil {
		return err
	}
	vars, err := w.variables()
	if err != nil {
		return err
	}
	return vars.Ask(entry)
}

// makeDefault is what the commit of a boot through the new loader does: the new
// one and the old one change places, and the signature gets its name. It also
// finishes that, where a power cut came in between.
func makeDefault(e Env, s State, r *step.Reporter) error {
	l, f := s.Loader, s.Firmware
	if l.runsOnce() {
		err := onPartition(e, f.Device.Path(), f.Device.DiskUUID, func(d boot.StateDevice) error {
			loader, err := theLoader(d, layout.LoaderSpare, l.Once.Spare)
			if err != nil {
				return err
			}
			return swapLoader(d, loader, r)
		})
		if err != nil {
			return err
		}
	}
	return signWaiting(e, f, e.Now(), r)
}

// isWaiting says whether the running loader's release waits for this commit.
func (s State) isWaiting() bool {
	l := s.Loader
	return l.Running != "" && s.Firmware.Waiting.Version == l.Running && !l.ChangedNow && l.On1.Err == nil &&
		(l.runsOnce() || l.On1.Version == l.Running)
}

// signWaiting gives the signatures that wait their names: those first, so that
// a power cut leaves both, which the next commit finishes.
func signWaiting(e Env, f Firmware, now time.Time, r *step.Reporter) error {
	return onPartition(e, f.Device.Path(), f.Device.DiskUUID, func(d boot.StateDevice) error {
		names, err := namesOf(d, layout.ESPTarWaiting)
		if err != nil {
			return err
		}
		var named, gone []bootstate.FileChange
		for _, name := range names {
			text, err := bootstate.ReadWhole(d, name, release.MaxSignature)
			if err != nil {
				return err
			}
			named = append(named, bootstate.FileChange{Path: layout.ESPTarSignature + strings.TrimPrefix(name, layout.ESPTarWaiting), Data: text})
			gone = append(gone, bootstate.FileChange{Path: name, Remove: true})
		}
		for _, changes := range [][]bootstate.FileChange{named, gone} {
			err := blocks(d, r, func() ([]bootstate.BlockWrite, error) {
				return bootstate.PlanFiles(d, d.SectorSize(), now, changes...)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
