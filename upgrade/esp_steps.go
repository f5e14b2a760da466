package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

// Steps are the plan's effects. Nothing is mounted: the partition is written
// sector by sector, past every cache (package bootstate), in an order in which
// a power cut at any write leaves the old loader or the new one, whole, and
// every file that GRUB or the firmware needs.
func (p ESPPlan) Steps(e Env, keys release.Keys) (steps []step.Step) {
	if p.Current {
		return nil
	}
	w := &espWriting{ESPPlan: p, e: e, keys: keys}
	add := func(wanted bool, name string, do func(*step.Reporter) error) {
		if wanted {
			steps = append(steps, step.Step{Name: name, Do: func(_ context.Context, r *step.Reporter) error { return do(r) }})
		}
	}
	label := p.Firmware.Label
	add(true, "look for room on "+label, w.lookForRoom)
	add(p.Second, "bring the second loader up", w.bringSecondUp)
	add(p.Loader.Once.Next, "take back what the firmware was to start once", w.takeBack)
	add(p.Move && p.Booted.Unsummed, "make "+layout.BootSum+" on "+p.Booted.Label, w.sum)
	add(p.Move, "move to the new loader", w.moveLoader)
	add(p.Rebuild, "make the folders anew", w.rebuild)
	add(true, "write the programs on "+label, w.writePrograms)
	add(len(p.Menu) > 0, "write the menu", w.writeMenu)
	add(p.Swap && !p.treeIsNew(), "write the new loader beside the old one", w.writeTwin)
	add(p.Once, "let the signature wait", w.wait)
	add(p.Once, "have the firmware try the new loader once", w.ask)
	add(p.Swap && !p.treeIsNew() && !p.Once, "put the new loader in the old one's place", w.swap)
	add(!p.Once, "sign "+label, w.sign)
	return steps
}

// An espWriting is one update of the partition.
type espWriting struct {
	ESPPlan
	e    Env
	keys release.Keys
	old  []string // the extra programs of before
}

// on opens a partition of the disk that was looked at for writing.
func (w *espWriting) on(path string, do func(boot.StateDevice) error) error {
	return onPartition(w.e, path, w.Firmware.Device.DiskUUID, do)
}

// onPartition opens a partition for writing, if it is still on the disk that
// was looked at, and nobody has it mounted for writing.
func onPartition(e Env, path, disk string, do func(boot.StateDevice) error) error {
	volumes, err := mounts.FindLabels(e.Storage)
	if err != nil {
		return err
	}
	points, err := e.Storage.Mounts()
	if err != nil {
		return err
	}
	if err := stillThere(volumes, points, path, disk); err != nil {
		return err
	}
	device, err := e.OpenState(path)
	if err != nil {
		return err
	}
	err = do(device)
	if err := errors.Join(err, device.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// blocks plans writes and does them.
func blocks(d boot.StateDevice, r *step.Reporter, plan func() ([]bootstate.BlockWrite, error)) error {
	writes, err := plan()
	if err != nil {
		return err
	}
	total, done := int64(0), int64(0)
	for _, b := range writes {
		total += int64(len(b.Data))
	}
	return bootstate.WriteBlocks(d, writes, func(b bootstate.BlockWrite) {
		done += int64(len(b.Data))
		r.Progress(done, total)
	})
}

// lookForRoom refuses what does not fit before anything is written.
func (w *espWriting) lookForRoom(r *step.Reporter) error {
	writeBack(w.e.Root, w.Firmware.Device.Disk, r)
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error {
		w.old = oldPrograms(d, w.Loader.Legacy)
		changes := append(w.Release.changes(nil), w.Release.signed(nil)...)
		if w.treeIsNew() {
			if _, err := bootstate.PlanMove(d, d.SectorSize(), w.Now, w.Tree); err != nil {
				return err
			}
			return w.fits(d, append(changes, bootstate.FileChange{Path: "LOADER.NEW", Data: make([]byte, moveRoom+2*len(w.Tree.Loader))}))
		}
		if twin, ok := w.twin(d); ok && w.Swap {
			changes = append(changes, twin)
		}
		return w.fits(d, changes)
	})
}

// treeIsNew says whether loader and state get new folders.
func (p ESPPlan) treeIsNew() bool { return p.Move || p.Rebuild }

// moveRoom is what the move takes beside two loaders: the state files' padding.
const moveRoom = 2 << 20

func (w *espWriting) fits(d boot.StateDevice, changes []bootstate.FileChange) error {
	_, err := bootstate.PlanFiles(d, d.SectorSize(), w.Now, changes...)
	if err != nil {
		return fmt.Errorf("release %s on %s: %w", w.Release.Info.Version, w.Firmware.Label, err)
	}
	return nil
}

// oldPrograms are the extra programs that an earlier release has put there.
func oldPrograms(d boot.StateDevice, legacy *LegacyMenu) (names []string) {
	if text, err := bootstate.ReadWhole(d, layout.Manifest, release.MaxESPManifest); err == nil {
		if m, err := release.ParseESPManifest(text); err == nil {
			for path := range m.ExtraPrograms {
				names = append(names, strings.TrimPrefix(path, "/"))
			}
		}
	}
	if legacy != nil {
		for _, path := range legacy.Programs {
			names = append(names, strings.TrimPrefix(path, "/"))
		}
	}
	return names
}

// twin is the preallocated file anew, where the one that is there cannot hold
// the new loader.
func (w *espWriting) twin(d boot.StateDevice) (bootstate.FileChange, bool) {
	return twinFor(d, w.Release.Loader)
}

func twinFor(d boot.StateDevice, loader []byte) (bootstate.FileChange, bool) {
	_, err := bootstate.PlanInPlace(d, d.SectorSize(), layout.LoaderSpare, loader)
	if err == nil {
		_, err = bootstate.PlanSwap(d, d.SectorSize(), layout.Loader, layout.LoaderSpare)
	}
	return bootstate.FileChange{Path: layout.LoaderSpare, Data: withRoom(loader), Beside: layout.Loader}, err != nil
}

func (w *espWriting) writePrograms(r *step.Reporter) error {
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error {
		signatures, err := namesOf(d, layout.ESPTarSignature)
		waiting, errWaiting := namesOf(d, layout.ESPTarWaiting)
		if err := errors.Join(err, errWaiting); err != nil {
			return err
		}
		changes := w.Release.changes(append(signatures, waiting...))
		if twin, ok := w.twin(d); ok && w.Swap && !w.treeIsNew() {
			changes = append(changes, twin)
		}
		return blocks(d, r, func() ([]bootstate.BlockWrite, error) {
			return bootstate.PlanFiles(d, d.SectorSize(), w.Now, changes...)
		})
	})
}

// namesOf are NAME and NAME.KEYID, the signatures of the release that is there.
func namesOf(d io.ReaderAt, name string) (names []string, err error) {
	all, err := bootstate.ListRoot(d)
	for _, found := range all {
		if found == name || strings.HasPrefix(found, name+".") {
			names = append(names, found)
		}
	}
	return names, err
}

func (w *espWriting) writeMenu(r *step.Reporter) error {
	return writeState(w.e, w.Menu, w.Loader.Copies, w.Firmware.Device.DiskUUID, r)
}

func (w *espWriting) writeTwin(r *step.Reporter) error {
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error { return writeTwin(d, w.Release.Loader, r) })
}

func writeTwin(d boot.StateDevice, loader []byte, r *step.Reporter) error {
	return blocks(d, r, func() ([]bootstate.BlockWrite, error) {
		return bootstate.PlanInPlace(d, d.SectorSize(), layout.LoaderSpare, loader)
	})
}

// swap is the one write that replaces the loader.
func (w *espWriting) swap(r *step.Reporter) error {
	if err := markChanged(w.e.Root); err != nil {
		return err
	}
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error { return swapLoader(d, w.Release.Loader, r) })
}

// swapLoader makes the twin, which must hold that loader, the loader.
func swapLoader(d boot.StateDevice, loader []byte, r *step.Reporter) error {
	if err := holds(d, layout.LoaderSpare, loader); err != nil {
		return err
	}
	write, err := bootstate.PlanSwap(d, d.SectorSize(), layout.Loader, layout.LoaderSpare)
	if err != nil {
		return err
	}
	if err := bootstate.WriteBlocks(d, []bootstate.BlockWrite{write}, func(bootstate.BlockWrite) {}); err != nil {
		return err
	}
	r.Fact("loader", bootstate.LoaderVersion(loader), "%s is version %s", layout.Loader, bootstate.LoaderVersion(loader))
	return holds(d, layout.Loader, loader)
}

func holds(d boot.StateDevice, path string, want []byte) error {
	content, err := bootstate.ReadWhole(d, path, maxLoader+loaderRoom)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(content, want) || len(bytes.TrimLeft(content[len(want):], "\x00")) > 0 {
		return step.WithHint(fmt.Errorf("%s comes back from the medium with another content than was written", path), "the disk is failing")
	}
	return nil
}

// sign takes away what the release no longer has, and puts its signature
// there: from now on the partition says that it holds the release.
func (w *espWriting) sign(r *step.Reporter) error {
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error {
		return blocks(d, r, func() ([]bootstate.BlockWrite, error) {
			return bootstate.PlanFiles(d, d.SectorSize(), w.Now, w.Release.signed(w.Release.gone(w.old))...)
		})
	})
}

func (w *espWriting) bringSecondUp(r *step.Reporter) error {
	return bringSecondUp(w.e, w.Loader, w.Firmware, w.Now, r)
}

// moveLoader makes the new loader's files and lets them take the old one's
// place, with one sector.
func (w *espWriting) moveLoader(r *step.Reporter) error {
	if err := markChanged(w.e.Root); err != nil {
		return err
	}
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error {
		if _, err := bootstate.ReadWhole(d, layout.LegacyGrubCfg, 1<<20); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no %s any more", layout.LegacyGrubCfg)
		}
		err := blocks(d, r, func() ([]bootstate.BlockWrite, error) {
			return bootstate.PlanMove(d, d.SectorSize(), w.Now, w.Tree)
		})
		if err != nil {
			return err
		}
		return holds(d, layout.Loader, w.Release.Loader)
	})
}

// rebuild makes the folders anew and lets them take the place of those that
// are lost, with one sector.
func (w *espWriting) rebuild(r *step.Reporter) error {
	if err := markChanged(w.e.Root); err != nil {
		return err
	}
	return w.on(w.Firmware.Device.Path(), func(d boot.StateDevice) error {
		if now := bootstate.ReadCopies(d, nil); !bytes.Equal(now.State1, w.Loader.Copies.State1) || !bytes.Equal(now.Tries, w.Loader.Copies.Tries) {
			return fmt.Errorf("%s has changed since it was looked at", w.Firmware.Device.Path())
		}
		err := blocks(d, r, func() ([]bootstate.BlockWrite, error) {
			return bootstate.PlanMove(d, d.SectorSize(), w.Now, w.Tree)
		})
		if err != nil {
			return err
		}
		return holds(d, layout.Loader, w.Release.Loader)
	})
}
