package upgrade

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// A Request is what somebody wants to be done to a side.
type Request struct {
	Target         string // a, b, booted or nonbooted
	Release        release.Info
	Source         string // where the tar is, for people
	Architecture   string
	NoBootCfg      bool   // the boot loader's state stays as it is
	DefaultLabel   string // the side for the next boot, where it is not the target
	Force          bool   // also the version that has failed, or that is there already
	AllowDowngrade bool
	Now            time.Time
}

// A Plan is what will be done. It holds only what NewPlan has found to be
// safe; Steps does it.
type Plan struct {
	Request
	Side    Side
	Booted  layout.Label
	Current bool // the release is there and decided on: nothing to do
	Written bool // the release is there, but was never on trial: it only has to be read
	// Before are the writes before the side is touched: the booted side gives
	// its place to the other one.
	Before    []StateWrite
	BeforeWas bootstate.Copies // what the disk says then
	// Trial is whether the boot loader's state is written, and the writes.
	Trial      bool
	Writes     []StateWrite
	LoaderWas  bootstate.Copies // what the disk says then
	LoaderDisk string           // the UUID of the disk's partition table, by which it is known again
}

// NewPlan decides. Every refusal is here, and nothing is changed: the rules
// are POWERCUT.md's, 'Rules for whoever writes'.
func NewPlan(s State, r Request) (Plan, error) {
	label, err := s.sideNamed(r.Target)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Request: r, Side: s.Side(label), Booted: s.Booted, LoaderDisk: s.Firmware.Device.DiskUUID}
	for _, refuse := range []func() error{
		func() error { return s.refuseTarget(label) },
		func() error { return refuseRelease(s, r) },
		func() error { return s.refuseState(r) },
		func() error {
			if label != s.Booted {
				return nil
			}
			return s.refuseBooted(r)
		},
		func() error { return refuseRoom(p.Side, r.Release) },
	} {
		if err := refuse(); err != nil {
			return Plan{}, err
		}
	}
	next, err := r.defaultSide(label)
	if err != nil {
		return Plan{}, err
	}
	p.Trial = !r.NoBootCfg && next == label
	p.Written = p.Side.Incomplete == "" && !p.Side.Legacy && p.Side.Info.Version == r.Release.Version && !r.Force
	p.Current = p.Written && (!p.Trial || s.Loader.State.Version(label) == r.Release.Version)
	if p.Current {
		return p, nil
	}
	loader := s.Loader
	if label == s.Booted {
		p.BeforeWas = loader.Copies
		if p.Before, err = loader.stateWrites(handedTo(loader.State, label.Other(), r.Now), loader.Tries); err != nil {
			return Plan{}, err
		}
		loader = loader.after(p.Before)
	}
	if p.Trial {
		p.LoaderWas = loader.Copies
		state, tries := trialOf(loader.State, loader.Tries, "", r.Now)
		if p.Writes, err = loader.stateWrites(state, tries); err != nil {
			return Plan{}, err
		}
	}
	return p, nil
}

// defaultSide is the side for the next boot: the one that is written goes on
// trial, the other one is the default anyway.
func (r Request) defaultSide(target layout.Label) (layout.Label, error) {
	switch label := layout.Label(r.DefaultLabel); {
	case r.DefaultLabel == "":
		return target, nil
	case label == target || label == target.Other():
		return label, nil
	}
	return "", usagef("--default-boot-label %q: %s or %s", r.DefaultLabel, target, target.Other())
}

// refuseBooted refuses to overwrite the booted side where it is needed: by
// what runs, or as the only side that is known to work.
func (s State) refuseBooted(r Request) error {
	other := s.Booted.Other()
	switch {
	case r.NoBootCfg:
		return fmt.Errorf("%s is the booted side: without a word to the boot loader a power cut would leave it half written", s.Booted)
	case !s.InRAM:
		return step.WithHint(fmt.Errorf("%s is the booted side, and what runs needs it: it was not copied to RAM", s.Booted), "apply to %s, and restart into it", other)
	case !s.proven(other):
		return step.WithHint(fmt.Errorf("%s is the booted side, and %s is not proven: a power cut could leave no side that boots", s.Booted, other),
			"apply to %s, and restart into it", other)
	}
	return nil
}

// refuseTarget refuses a side that must not be written to.
func (s State) refuseTarget(label layout.Label) error {
	side := s.Side(label)
	switch {
	case !s.Booted.IsSide():
		return step.WithHint(errors.New("it is not known which side is booted"), "on a machine that was not booted by psyopsOS name one with --booted-mock")
	case s.BootedMissing:
		return step.WithHint(errors.New("the disk that was booted is not there: another disk is never written in its place"), "plug it in again")
	case side.Err != nil:
		return side.Err
	case len(side.Duplicates) > 0:
		return step.WithHint(fmt.Errorf("the label %s is on %s and on %s: which one is meant?", side.Label, side.Device.Path(), strings.Join(side.Duplicates, ", ")),
			"take the other disk out")
	case len(s.Firmware.Duplicates) > 0:
		return step.WithHint(fmt.Errorf("the label %s is on %s and on %s: which one is meant?", s.Firmware.Label, s.Firmware.Device.Path(), strings.Join(s.Firmware.Duplicates, ", ")),
			"take the other disk out")
	case s.BootedDisk != "" && !side.Mock && side.Device.Disk != s.BootedDisk:
		return fmt.Errorf("%s is on %s, but %s was booted", side.Label, side.Device.Disk, s.BootedDisk)
	case len(side.Users) > 0:
		return step.WithHint(fmt.Errorf("%s is in use: %s", side.Label, strings.Join(side.Users, ", ")), "unmount it")
	}
	booted := s.Side(s.Booted)
	if s.BootedVersion != "" && booted.Incomplete == "" && booted.Info.Version != s.BootedVersion {
		return step.WithHint(fmt.Errorf("%s is booted with release %s, but the disk has %s there: is this another disk?", s.Booted, s.BootedVersion, booted.Info.Version),
			"restart, so that what runs is what lies on the disk")
	}
	return nil
}

// refuseRelease refuses a release that is not for this machine, or not for
// now.
func refuseRelease(s State, r Request) error {
	switch i := r.Release; {
	case i.Kind != release.OS:
		return fmt.Errorf("a release of type %s does not go on a side, which wants %s", i.Kind, release.OS)
	case i.Architecture != "" && i.Architecture != r.Architecture:
		return fmt.Errorf("the release is for %s, this machine is %s", i.Architecture, r.Architecture)
	case i.Version < s.Loader.State.Floor && !r.AllowDowngrade:
		return step.WithHint(fmt.Errorf("release %s is older than %s, which was committed here", i.Version, s.Loader.State.Floor),
			"--allow-downgrade takes it all the same")
	case s.Loader.State.Bad != "" && i.Version == s.Loader.State.Bad && !r.Force:
		return step.WithHint(fmt.Errorf("the last trial of release %s failed%s", i.Version, s.Loader.lastFailure()),
			"--force tries it again; a later release needs no force")
	}
	return nil
}

// lastFailure is why, where anybody wrote it down.
func (l Loader) lastFailure() string {
	if l.Fail.Version == "" || l.Fail.Version != l.State.Bad {
		return ""
	}
	return fmt.Sprintf(": %s: %s", l.Fail.Stage, l.Fail.Reason)
}

// refuseState refuses while the running side is not committed, and where the
// state cannot be written. A side may be the last good one.
func (s State) refuseState(r Request) error {
	l := s.Loader
	if s.Side(s.Booted.Other()).Mock && l.First == "" && r.NoBootCfg {
		return nil // no loader to lead astray
	}
	if l.Legacy != nil && r.NoBootCfg {
		return nil
	}
	switch {
	case l.Picked == 0:
		return step.WithHint(fmt.Errorf("the boot loader could not be told of it: %w", l.Missing), "--no-boot-cfg writes the side alone")
	case len(s.Firmware.Users) > 0:
		return step.WithHint(fmt.Errorf("%s is %s", s.Firmware.Label, strings.Join(s.Firmware.Users, ", ")), "unmount it, or mount it read-only")
	case l.State.Try == s.Booted:
		return step.WithHint(fmt.Errorf("%s is on trial, undecided", s.Booted), "`neuralupgrade commit` keeps it, `neuralupgrade rollback` gives it up")
	case l.State.Try != "":
		return step.WithHint(fmt.Errorf("%s is on trial, undecided", l.State.Try),
			"restart to try it; or `neuralupgrade commit` ends the trial, if it has failed")
	case l.State.Good != s.Booted:
		return step.WithHint(fmt.Errorf("%s is booted, but %s is the committed side: it may be the only good one", s.Booted, l.State.Good),
			"restart into %s", l.State.Good)
	case s.Unhealthy != "":
		return step.WithHint(fmt.Errorf("this boot is not healthy: %s; the other side may be the only good one", s.Unhealthy), "mend it, then run `neuralupgrade health`")
	case !l.Same:
		return step.WithHint(errors.New("the two copies of the boot loader's state differ: an earlier change was cut off"), "`neuralupgrade commit` finishes it")
	}
	return nil
}

func refuseRoom(side Side, i release.Info) error {
	if i.Size > side.Room {
		return fmt.Errorf("release %s has %s, %s has room for %s", i.Version, step.Bytes(i.Size), side.Label, step.Bytes(side.Room))
	}
	return nil
}

// String is the plan for people: what --dry-run prints.
func (p Plan) String() string {
	var b strings.Builder
	if p.Current {
		fmt.Fprintf(&b, "%s is version %s: nothing to do\n", p.Side.Label, p.Release.Version)
		return b.String()
	}
	where := p.Side.MountPoint
	if !p.Side.Mock {
		where = p.Side.Device.Path() + " at " + where
	}
	if len(p.Before) > 0 {
		fmt.Fprintf(&b, "make %s, which is proven, the default\n", p.Booted.Other())
		for _, w := range p.Before {
			fmt.Fprintf(&b, "    write %s on %s\n", w.Path, w.Partition)
		}
	}
	if p.Written {
		fmt.Fprintf(&b, "read %s (%s), which has version %s already\n", p.Side.Label, where, p.Release.Version)
	} else {
		fmt.Fprintf(&b, "write %s (%s)\n", p.Side.Label, where)
		if have := p.Side.Info.Version; have != "" {
			fmt.Fprintf(&b, "    from version %s\n", have)
		}
		fmt.Fprintf(&b, "    to version %s, %s, from %s\n", p.Release.Version, step.Bytes(p.Release.Size), p.Source)
	}
	if !p.Trial {
		b.WriteString("leave the boot loader as it is\n")
		return b.String()
	}
	fmt.Fprintf(&b, "put %s on trial: up to %d boots, then %s again unless it is committed\n", p.Side.Label, bootstate.MaxTries, layout.Label(p.Side.Label).Other())
	for _, w := range p.Writes {
		fmt.Fprintf(&b, "    write %s on %s\n", w.Path, w.Partition)
	}
	return b.String()
}
