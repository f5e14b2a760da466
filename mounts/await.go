package mounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Await looks for something on the block devices until it is found: once at
// once, and then once after each burst of uevents that brings storage, never in
// between. It subscribes before the first look, so that nothing that comes
// while it looks is missed. It ends with look's error, or with ctx's cause.
//
// Each burst is given to hotplug first, which may load the drivers of devices
// that came; no events at all mean that some were lost.
func Await(ctx context.Context, sys System, hotplug func([]Uevent), look func() (found bool, err error)) error {
	events, err := sys.Uevents()
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		found, err := look()
		if found || err != nil {
			return err
		}
		if err := awaitStorage(ctx, events, hotplug); err != nil {
			return err
		}
	}
}

func awaitStorage(ctx context.Context, events Listener, hotplug func([]Uevent)) error {
	for {
		burst, err := events.Next(ctx)
		if errors.Is(err, ErrOverflow) {
			hotplug(nil)
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for a disk: %w", err)
		}
		hotplug(burst)
		if slices.ContainsFunc(burst, Uevent.BringsStorage) {
			return nil
		}
	}
}
