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
		return LoaderState{}, step.WithHint(fmt.Errorf("no disk has the partition psyopsos.disk=%s", c.Disk),
			"is the disk that was booted still there, and its driver loaded?")
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
		return LoaderState{}, step.WithHint(fmt.Errorf("no readable volume labelled %s on %s", layout.EFISystem, disk),
			"look at dmesg; `tk node image` makes a new disk")
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
func (s LoaderState) Record(a Answer, fail bootstate.Fail, open func(path string) (StateDevice, error)) error {
	if !a.Blame && !a.GiveUp {
		return nil
	}
	if err := s.record(a, fail, open); err != nil {
		return step.WithHint(fmt.Errorf("record the failure: %w", err),
			"the boot loader may take the same side again: choose %s in the GRUB menu", fail.Side.Other())
	}
	return nil
}

func (s LoaderState) record(a Answer, fail bootstate.Fail, open func(path string) (StateDevice, error)) (err error) {
	if s.esp == "" {
		return errors.New("the boot loader's state was not found")
	}
	device, err := open(s.esp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	tries := s.Tries
	tries.Run = bootstate.MaxTries
	// The count first: it is what decides the next boot.
	if a.GiveUp {
		err = write(device, layout.Tries, tries, s.copies.Tries)
	}
	if a.Blame {
		err = errors.Join(err, write(device, layout.Fail, fail, s.copies.Fail))
	}
	return err
}

// write writes a state file where it is not so already: a step that is
// repeated for days writes its failure once.
func write(device StateDevice, path string, file interface{ Render() ([]byte, error) }, old []byte) error {
	content, err := file.Render()
	if err != nil || bytes.Equal(content, old) {
		return err
	}
	return bootstate.Write(device, path, content, true)
}

// A StateDevice is a partition that is written past every cache.
type StateDevice interface {
	bootstate.Device
	io.Closer
}
