package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
	"psyopsOS/trial"
)

// shutdownMost is how long a shutdown may take before the machine is restarted
// without it.
const shutdownMost = 3 * time.Minute

// reboot restarts the machine in good order.
func reboot(ctx context.Context, c *call) (int, error) {
	if err := c.noArgs(); err != nil {
		return exitUsage, err
	}
	mark := filepath.Join(c.env.Root, layout.KexecMark)
	if c.loaded {
		return exitError, startLoaded(mark)
	}
	_ = os.Remove(mark)
	if c.kexec {
		if err := c.loadNext(ctx, mark); err != nil {
			return exitError, err
		}
	}
	err := c.env.Shutdown()
	return exitOf(err), err
}

// shutdown asks the userland, whose reboot knows its own init. A service whose
// stop hangs must not keep the machine from restarting.
func shutdown() error {
	if err := trial.StartCopy(trial.RestartName, shutdownMost.String()); err != nil {
		return fmt.Errorf("guard the shutdown: %w", err)
	}
	output, err := exec.Command("/sbin/reboot").CombinedOutput()
	if err != nil {
		return fmt.Errorf("/sbin/reboot: %w: %s", err, output)
	}
	return nil
}

// startLoaded is the last act of a shutdown, where a kernel was loaded for it.
func startLoaded(mark string) error {
	if _, err := os.Stat(mark); err != nil {
		return step.WithHint(errors.New("no kernel was loaded"), "`neuralupgrade reboot --kexec` loads one and shuts down")
	}
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC)
}

// A NextBoot is what `reboot --kexec` starts: what GRUB would.
type NextBoot struct {
	bootstate.Boot
	Words string
	Count Change // as GRUB counts, before it starts the side
}

// NewNextBoot decides by the boot loader's own rules.
func NewNextBoot(s State, loader string) (NextBoot, error) {
	if err := s.refuseLoader(); err != nil {
		return NextBoot{}, err
	}
	l := s.Loader
	if l.ChangedNow {
		return NextBoot{}, step.WithHint(fmt.Errorf("%s: only the firmware can start it", l.news()), "restart without --kexec")
	}
	choice := bootstate.Next(l.Copies.State1, l.Copies.State2, l.Copies.Tries, func(label layout.Label) bool {
		side := s.Side(label)
		return side.Incomplete == "" && side.Damaged == "" && !side.Recovery
	})
	side := s.Side(choice.Boot.Side)
	switch {
	case choice.Boot.Side == "":
		return NextBoot{}, errors.New("the boot loader could start neither side")
	case side.Legacy:
		return NextBoot{}, step.WithHint(fmt.Errorf("%s was written by the first psyopsOS and cannot be verified", choice.Boot.Side), "restart without --kexec")
	case len(side.Duplicates) > 0:
		return NextBoot{}, fmt.Errorf("the label %s is on several disks", side.Label)
	}
	n := NextBoot{Boot: choice.Boot, Words: bootstate.KernelWords(choice.Boot, side.Device.PartUUID, loader, bootstate.ParseMenu(l.Copies.Menu).Append)}
	n.Count = Change{Says: fmt.Sprintf("%s starts as %s", n.Side, n.Why), LoaderDisk: s.Firmware.Device.DiskUUID, LoaderWas: l.Copies}
	if string(choice.Tries) != string(l.Copies.Tries) {
		n.Count.Writes = []StateWrite{{l.First, layout.Tries, choice.Tries, true}}
	}
	return n, nil
}

// loadNext loads the kernel of the next boot, verified, and then counts: a
// restart that fails meanwhile has cost a try and nothing else.
func (c *call) loadNext(ctx context.Context, mark string) error {
	keys, err := c.keys(c.env)
	if err != nil {
		return err
	}
	report, _, err := readReport(c.env.Root)
	if err != nil {
		return err
	}
	return locked(c.env, c.patience, func() error {
		state, err := InspectFully(c.env, c.Settings, keys)
		if err != nil {
			return err
		}
		next, err := NewNextBoot(state, report.Loader)
		if err != nil {
			return err
		}
		settings := c.A
		if next.Side == layout.SideB {
			settings = c.B
		}
		i := inspector{e: c.env, keys: keys}
		if err := i.look(report); err != nil {
			return err
		}
		v, found := i.volume(settings)
		if err := i.with(&v, found.Type, func(root string) error { return loadFrom(c.env, keys, root, next.Words) }); err != nil {
			return fmt.Errorf("load the kernel of %s: %w", next.Side, err)
		}
		if err := c.write(ctx, next.Count); err != nil {
			return err
		}
		if err := os.WriteFile(mark, nil, 0o644); err != nil {
			return err
		}
		return c.say(next.Count.Says)
	})
}

// loadFrom loads kernel and initramfs of a side, after a trusted key has
// vouched for them. What is loaded is what was hashed.
func loadFrom(e Env, keys release.Keys, root, words string) error {
	manifest, err := verifiedManifest(keys, root)
	if err != nil {
		return err
	}
	kernel, err := verifiedCopy(manifest, root, layout.Kernel)
	if err != nil {
		return err
	}
	defer kernel.Close()
	initramfs, err := verifiedCopy(manifest, root, layout.Initramfs)
	if err != nil {
		return err
	}
	defer initramfs.Close()
	if err := e.Kexec(kernel, initramfs, words); err != nil {
		return step.WithHint(fmt.Errorf("kexec: %w", err), "the kernel may not allow it; restart without --kexec")
	}
	return nil
}
