package upgrade

import (
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
	Tries          int    // boots that the release has to prove itself; 0: bootstate.MaxTries
	Confirm        string // who may commit the trial: bootstate.Tries
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
	// Before are the writes before the side is touched, which takes its place
	// away: the booted side's goes to the other one.
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
func NewPlan(s State, r Request) (Plan, error) { return planBy(planRules(), s, r) }

// planBy decides by rules, of which a test leaves one out to see what it is
// for.
func planBy(rules []rule, s State, r Request) (Plan, error) {
	label, err := s.sideNamed(r.Target)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Request: r, Side: s.Side(label), Booted: s.Booted, LoaderDisk: s.Firmware.Device.DiskUUID}
	for _, rule := range rules {
		if err := rule.refuse(s, r, label); err != nil {
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
	before := loader.State
	switch {
	case label == s.Booted:
		before = handedTo(loader.State, label.Other(), r.Now)
	case loader.State.Alt == label && !p.Written:
		before = withdrawn(loader.State, r.Now)
	}
	if before != loader.State {
		p.BeforeWas = loader.Copies
		if p.Before, err = loader.stateWrites(before, loader.Tries); err != nil {
			return Plan{}, err
		}
		loader = loader.after(p.Before)
	}
	if p.Trial {
		p.LoaderWas = loader.Copies
		state, tries := trialOf(loader.State, loader.Tries, "", r.Now)
		tries.Left, tries.Confirm = r.tries(), r.Confirm
		if tries.Left != bootstate.MaxTries {
			tries.Of = tries.Left
		}
		if p.Writes, err = loader.stateWrites(state, tries); err != nil {
			return Plan{}, err
		}
	}
	return p, nil
}

func (r Request) tries() int {
	if r.Tries == 0 {
		return bootstate.MaxTries
	}
	return r.Tries
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

// places is what Before does, for people.
func (p Plan) places() string {
	if layout.Label(p.Side.Label) == p.Booted {
		return "make " + string(p.Booted.Other()) + " the default"
	}
	return "let nothing fall back to " + p.Side.Label
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
		fmt.Fprintln(&b, p.places())
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
	fmt.Fprintf(&b, "put %s on trial: up to %d boots, then %s again unless it is committed\n", p.Side.Label, p.tries(), layout.Label(p.Side.Label).Other())
	if p.Confirm == bootstate.ConfirmRemote {
		b.WriteString("    health alone does not commit it: `neuralupgrade commit` does, from outside\n")
	}
	for _, w := range p.Writes {
		fmt.Fprintf(&b, "    write %s on %s\n", w.Path, w.Partition)
	}
	return b.String()
}
