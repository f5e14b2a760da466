package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// QMP sends a command to QEMU's monitor and returns its answer.
func (v *VM) QMP(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	return v.monitor.execute(ctx, command, arguments)
}

// QMPEvents are what QEMU has told by itself so far.
func (v *VM) QMPEvents() []QMPEvent { return v.monitor.seen() }

// Unplug pulls out a disk and returns when it is gone. The guest must help
// with a disk on PCI, and cannot refuse for one on USB.
func (v *VM) Unplug(ctx context.Context, id string) error {
	from := len(v.QMPEvents())
	if _, err := v.QMP(ctx, "device_del", map[string]any{"id": id}); err != nil {
		return fmt.Errorf("unplug %s: %w", id, err)
	}
	_, err := v.monitor.expect(ctx, from, func(e QMPEvent) bool {
		return e.Event == "DEVICE_DELETED" && e.Data["device"] == id
	})
	if err != nil {
		return fmt.Errorf("unplug %s: %w", id, err)
	}
	v.now.plugged(id, false)
	return nil
}

// Plug puts in a disk of the Machine that is Absent or was unplugged.
func (v *VM) Plug(ctx context.Context, id string) error {
	for i, d := range v.Machine.Disks {
		if d.ID == id {
			if _, err := v.QMP(ctx, "device_add", qmpArguments(d.device(i, v.Machine.Disks))); err != nil {
				return fmt.Errorf("plug %s: %w", id, err)
			}
			v.now.plugged(id, true)
			return nil
		}
	}
	return fmt.Errorf("plug %s: the machine has no such disk", id)
}

// Poweroff presses the power button; a guest without an ACPI daemon does not
// listen.
func (v *VM) Poweroff(ctx context.Context) error { return v.simply(ctx, "system_powerdown") }

// Reset presses the reset button.
func (v *VM) Reset(ctx context.Context) error { return v.simply(ctx, "system_reset") }

// Quit pulls the plug: the guest gets no word of it.
func (v *VM) Quit(ctx context.Context) error {
	if err := v.simply(ctx, "quit"); err != nil && !errors.Is(err, ErrEnded) {
		return err
	}
	_, err := v.Wait(ctx)
	return err
}

func (v *VM) simply(ctx context.Context, command string) error {
	_, err := v.QMP(ctx, command, nil)
	return err
}
