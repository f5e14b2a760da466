package upgrade

import (
	"bytes"
	"fmt"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// bringSecondUp gives the second EFI system partition the loader through which
// this machine was booted, in the way in which the first one gets its own: into
// the twin, and then one sector. Until then the second one has the loader
// before it, for a new one that does not start.
func bringSecondUp(e Env, l Loader, f Firmware, now time.Time, r *step.Reporter) error {
	var loader []byte
	err := onPartition(e, f.Device.Path(), f.Device.DiskUUID, func(d boot.StateDevice) (err error) {
		loader, err = theLoader(d, layout.Loader, l.On1)
		return err
	})
	if err != nil {
		return err
	}
	return onPartition(e, l.Second, f.Device.DiskUUID, func(d boot.StateDevice) error {
		if twin, ok := twinFor(d, loader); ok {
			err := blocks(d, r, func() ([]bootstate.BlockWrite, error) {
				return bootstate.PlanFiles(d, d.SectorSize(), now, twin)
			})
			if err != nil {
				return err
			}
		}
		if err := writeTwin(d, loader, r); err != nil {
			return err
		}
		return swapLoader(d, loader, r)
	})
}

// theLoader reads a loader, which must be the one that was looked at.
func theLoader(d boot.StateDevice, path string, want LoaderFile) ([]byte, error) {
	content, err := bootstate.ReadWhole(d, path, maxLoader+loaderRoom)
	if err != nil {
		return nil, err
	}
	loader := bytes.TrimRight(content, "\x00")
	if file := loaderFile(loader); file.Sum != want.Sum || file.Version != want.Version {
		return nil, fmt.Errorf("%s has changed since it was looked at", path)
	}
	return loader, nil
}
