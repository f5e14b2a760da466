package upgrade

import (
	"errors"
	"fmt"
	"strings"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// A rule is one reason to refuse a plan.
type rule struct {
	name   string
	refuse func(s State, r Request, target layout.Label) error
}

// planRules are all of them, in the order in which they are asked. The model
// in model_test.go shows of those that guard against power cuts and bad
// releases what happens without each.
func planRules() []rule {
	return []rule{
		{"the target can be written", refuseTarget},
		{"the release is for this machine, now", refuseRelease},
		{"the loader can be told", withLoader(refuseUntold)},
		{"no trial is undecided", withLoader(refuseOnTrial)},
		{"the committed side runs", withLoader(refuseUncommitted)},
		{"this boot was healthy", withLoader(refuseUnhealthy)},
		{"both copies agree", withLoader(refuseUnequal)},
		{"the loader is the one that runs", withLoader(refuseNewLoader)},
		{"the booted side is not needed by what runs", ofBooted(refuseNeeded)},
		{"the booted side's twin is proven", ofBooted(refuseUnproven)},
		{"there is room", refuseRoom},
	}
}

// withLoader is a rule of the boot loader's state. It is not asked where there
// is none to lead astray: of mocks, and of a disk of the first psyopsOS whose
// loader is to be left alone.
func withLoader(refuse func(State, Request) error) func(State, Request, layout.Label) error {
	return func(s State, r Request, _ layout.Label) error {
		mocks := s.Side(s.Booted.Other()).Mock && s.Loader.First == ""
		if r.NoBootCfg && (mocks || s.Loader.Legacy != nil) {
			return nil
		}
		return refuse(s, r)
	}
}

// ofBooted is a rule of an update of the booted side.
func ofBooted(refuse func(State, Request) error) func(State, Request, layout.Label) error {
	return func(s State, r Request, target layout.Label) error {
		if target != s.Booted {
			return nil
		}
		return refuse(s, r)
	}
}

func refuseUntold(s State, _ Request) error {
	switch {
	case s.Loader.Picked == 0:
		return step.WithHint(fmt.Errorf("the boot loader could not be told of it: %w", s.Loader.Missing), "--no-boot-cfg writes the side alone")
	case len(s.Firmware.Users) > 0:
		return step.WithHint(fmt.Errorf("%s is %s", s.Firmware.Label, strings.Join(s.Firmware.Users, ", ")), "unmount it, or mount it read-only")
	}
	return nil
}

// refuseOnTrial refuses while a trial is undecided: either side may be the
// last good one.
func refuseOnTrial(s State, _ Request) error {
	switch try := s.Loader.State.Try; try {
	case "":
		return nil
	case s.Booted:
		return step.WithHint(fmt.Errorf("%s is on trial, undecided", try), "`neuralupgrade commit` keeps it, `neuralupgrade rollback` gives it up")
	default:
		return step.WithHint(fmt.Errorf("%s is on trial, undecided", try),
			"restart to try it; or `neuralupgrade commit` ends the trial, if it has failed")
	}
}

func refuseUncommitted(s State, _ Request) error {
	if s.Loader.State.Good == s.Booted {
		return nil
	}
	hint := fmt.Sprintf("restart into %s", s.Loader.State.Good)
	if s.Why == bootstate.Fallback {
		hint = fmt.Sprintf("`neuralupgrade rollback` and a restart make %s the default, and %s free for another release", s.Booted, s.Loader.State.Good)
	}
	return step.WithHint(fmt.Errorf("%s is booted, but %s is the committed side: it may be the only good one", s.Booted, s.Loader.State.Good), "%s", hint)
}

// refuseUnhealthy refuses on a boot that the health checks have not found good:
// the running side may have gone bad since it was committed, and the other one
// be the last good one.
func refuseUnhealthy(s State, _ Request) error {
	switch {
	case s.Unjudged:
		return step.WithHint(errors.New("the health checks have not judged this boot yet"), "wait for them, or run `neuralupgrade health`")
	case s.Unhealthy == "":
		return nil
	}
	return step.WithHint(fmt.Errorf("this boot is not healthy: %s; the other side may be the only good one", s.Unhealthy), "mend it, then run `neuralupgrade health`")
}

func refuseUnequal(s State, _ Request) error {
	if s.Loader.statesLost() {
		return step.WithHint(fmt.Errorf("%s is damaged: %w", s.Firmware.Label, s.Loader.lost()), hintRebuild)
	}
	if s.Loader.Same {
		return nil
	}
	return step.WithHint(errors.New("the two copies of the boot loader's state differ: an earlier change was cut off"), "`neuralupgrade commit` finishes it")
}

// refuseNewLoader refuses to put a side on trial in the boot in which the
// loader was replaced: of two new things one would not know which one failed.
func refuseNewLoader(s State, r Request) error {
	if !s.Loader.ChangedNow || r.NoBootCfg {
		return nil
	}
	return step.WithHint(fmt.Errorf("%s: it and a side never change at once", s.Loader.news()), "restart first")
}

// refuseNeeded refuses to overwrite the booted side under the feet of what
// runs.
func refuseNeeded(s State, r Request) error {
	switch {
	case r.NoBootCfg:
		return fmt.Errorf("%s is the booted side: without a word to the boot loader a power cut would leave it half written", s.Booted)
	case !s.InRAM:
		return step.WithHint(fmt.Errorf("%s is the booted side, and what runs needs it: it was not copied to RAM", s.Booted),
			"apply to %s, and restart into it", s.Booted.Other())
	}
	return nil
}

// refuseUnproven refuses to overwrite the booted side where it is the only one
// that is known to work.
func refuseUnproven(s State, _ Request) error {
	other := s.Booted.Other()
	if !s.proven(other) || s.Side(other).Info.Version == s.Loader.State.Bad {
		return step.WithHint(fmt.Errorf("%s is the booted side, and %s is not proven: a power cut could leave no side that boots", s.Booted, other),
			"apply to %s, and restart into it", other)
	}
	return nil
}

// refuseTarget refuses a side that must not be written to.
func refuseTarget(s State, _ Request, label layout.Label) error {
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
func refuseRelease(s State, r Request, _ layout.Label) error {
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

func refuseRoom(s State, r Request, label layout.Label) error {
	if side := s.Side(label); r.Release.Size > side.Room {
		return fmt.Errorf("release %s has %s, %s has room for %s", r.Release.Version, step.Bytes(r.Release.Size), side.Label, step.Bytes(side.Room))
	}
	return nil
}
