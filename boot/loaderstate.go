package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/step"
)

// LoaderState is what the boot loader's files on the booted disk say. A disk
// without them, or a machine that was booted without the loader, has the zero
// one.
type LoaderState struct {
	State bootstate.State
	Tries bootstate.Tries
	Fail  bootstate.Fail

	copies bootstate.Copies
	esp    string // the device of the first EFI system partition; empty: none
}

// ReadLoaderState reads the state from the disk that psyopsos.disk= names.
func ReadLoaderState(storage mounts.System, c Cmdline) (LoaderState, error) {
	volumes, err := mounts.FindLabels(storage)
	if err != nil {
		return LoaderState{}, err
	}
	disk, found := mounts.BootedDisk(volumes, c.Disk)
	if !found {
		return LoaderState{}, fmt.Errorf("no disk has the partition psyopsos.disk=%s", c.Disk)
	}
	var s LoaderState
	open := func(label layout.Label) (io.ReaderAt, func()) {
		for _, v := range volumes {
			if v.Disk != disk || v.Label != string(label) {
				continue
			}
			if block, err := storage.Open(v.Name); err == nil {
				if label == layout.EFISystem {
					s.esp = v.Path()
				}
				return block, func() { block.Close() }
			}
		}
		return nil, func() {}
	}
	first, closeFirst := open(layout.EFISystem)
	defer closeFirst()
	if first == nil {
		return LoaderState{}, fmt.Errorf("no readable volume labelled %s on %s", layout.EFISystem, disk)
	}
	second, closeSecond := open(layout.EFISystem2)
	defer closeSecond()
	s.copies = bootstate.ReadCopies(first, second)
	s.State, _ = bootstate.Pick(s.copies.State1, s.copies.State2)
	s.Tries, s.Fail = bootstate.ParseTries(s.copies.Tries), bootstate.ParseFail(s.copies.Fail)
	return s, nil
}

// Record writes what the answer asks for: FAIL.ENV, and the count of unhealthy
// boots at its end. open is bootstate.OpenDirect on a real machine.
func (s LoaderState) Record(a Answer, fail bootstate.Fail, open func(path string) (StateDevice, error)) (err error) {
	if !a.Blame && !a.GiveUp {
		return nil
	}
	if s.esp == "" {
		return errors.New("record the failure: the boot loader's state was not found")
	}
	device, err := open(s.esp)
	if err != nil {
		return fmt.Errorf("record the failure: %w", err)
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	if a.Blame {
		content, err := fail.Render()
		// A step that is repeated for days writes its failure once.
		if err == nil && !bytes.Equal(content, s.copies.Fail) {
			err = bootstate.Write(device, layout.Fail, content, true)
		}
		if err != nil {
			return fmt.Errorf("record the failure: %w", err)
		}
	}
	if !a.GiveUp {
		return nil
	}
	tries := s.Tries
	tries.Run = bootstate.MaxTries
	content, err := tries.Render()
	if err == nil {
		err = bootstate.Write(device, layout.Tries, content, true)
	}
	return step.WithHint(err, "choose %s in the GRUB menu", s.State.Alt)
}

// A StateDevice is a partition that is written past every cache.
type StateDevice interface {
	bootstate.Device
	io.Closer
}
