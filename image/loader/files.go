package loader

import (
	"fmt"
	"strconv"

	"psyopsOS/bootstate"
	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

// Disk says what a fresh disk's EFI system partitions hold beside the
// programs' own files.
type Disk struct {
	Loader   []byte
	State    bootstate.State
	Tries    bootstate.Tries
	Menu     bootstate.Menu
	Programs []disk.File // manifest.json, the extra EFI programs, the release's signature
}

// spareRoom is what a later loader may be larger than this one: the twin is
// preallocated, and the loader too, since they change places.
const spareRoom = 256 << 10

// Files lists what goes on the first and on the second EFI system partition,
// in the order in which it must lie on the disk. A disk without a second one
// gets Single instead.
//
// Each state file stands alone, with padding on both sides (POWERCUT.md): a
// sector that a power cut made unreadable makes firmware's FAT driver give up
// when it lies near something that the firmware reads.
func (d Disk) Files() (first, second []disk.File, err error) {
	first, err = d.files(layout.State1, layout.Tries, layout.Fail, layout.Menu)
	if err != nil {
		return nil, nil, err
	}
	if second, err = d.loaderAnd(layout.State2); err != nil {
		return nil, nil, err
	}
	return first, second, nil
}

// Single lists the files of the only EFI system partition of a disk with four
// partitions.
func (d Disk) Single() ([]disk.File, error) {
	return d.files(layout.State1, layout.State2, layout.Tries, layout.Fail, layout.Menu)
}

func (d Disk) files(blocks ...string) ([]disk.File, error) {
	files, err := d.loaderAnd(blocks...)
	if err != nil {
		return nil, err
	}
	return append(files, d.Programs...), nil
}

// loaderAnd is the loader, its twin and state files between padding.
func (d Disk) loaderAnd(blocks ...string) ([]disk.File, error) {
	if len(d.Loader) == 0 {
		return nil, fmt.Errorf("files of the EFI system partition: there is no loader")
	}
	twin := make([]byte, (len(d.Loader)+spareRoom+4095)/4096*4096)
	copy(twin, d.Loader)
	files := []disk.File{{Path: layout.Loader, Data: twin}, {Path: layout.LoaderSpare, Data: twin}}
	for i, path := range blocks {
		data, err := d.block(path)
		if err != nil {
			return nil, err
		}
		files = append(files, padding(i), disk.File{Path: path, Data: data, Alone: true})
	}
	return append(files, padding(len(blocks))), nil
}

// block is the content of a state file on a fresh disk.
func (d Disk) block(path string) ([]byte, error) {
	switch path {
	case layout.Tries:
		return d.Tries.Render()
	case layout.Fail:
		return bootstate.Fail{}.Render()
	case layout.Menu:
		return d.Menu.Render()
	}
	return d.State.Render()
}

// padding is the i-th padding file.
func padding(i int) disk.File {
	return disk.File{Path: layout.StateDir + "/PAD" + strconv.Itoa(i) + ".TXT", Data: bootstate.Padding(layout.PaddingAroundState)}
}
