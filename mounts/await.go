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
func Await(ctx context.Context, sys System, look func() (found bool, err error)) error {
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
		if err := awaitStorage(ctx, events); err != nil {
			return err
		}
	}
}

func awaitStorage(ctx context.Context, events Listener) error {
	for {
		burst, err := events.Next(ctx)
		if errors.Is(err, ErrOverflow) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for a disk: %w", err)
		}
		if slices.ContainsFunc(burst, Uevent.BringsStorage) {
			return nil
		}
	}
}
