package upgrade

import (
	"errors"
	"fmt"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
	"psyopsOS/trial"
)

// A Change is what a command does to the boot loader's state, and what it
// says of it. Without writes there is nothing to do.
type Change struct {
	Says       string
	Writes     []StateWrite
	LoaderDisk string
	LoaderWas  bootstate.Copies
	Stage      trial.Stage // what the trial that runs has come to, where this says so
	// Settled says that this boot is a good one: the second loader may follow
	// the first.
	Settled bool
}

// change is a Change to the next state.
func (s State) change(next bootstate.State, tries bootstate.Tries, says string, a ...any) (Change, error) {
	writes, err := s.Loader.stateWrites(next, tries)
	return Change{Says: fmt.Sprintf(says, a...), Writes: writes, LoaderDisk: s.Firmware.Device.DiskUUID, LoaderWas: s.Loader.Copies}, err
}

// settled is a Change of a boot that is a good one.
func settled(c Change, err error) (Change, error) {
	c.Settled = err == nil
	return c, err
}

// refuseLoader refuses where the state cannot be changed at all.
func (s State) refuseLoader() error {
	switch {
	case s.BootedMissing:
		return step.WithHint(errors.New("the disk that was booted is not there"), "plug it in again; another disk is never written in its place")
	case s.Loader.Picked == 0:
		return s.Loader.Missing
	case s.BootedDisk != "" && s.Firmware.Device.Disk != s.BootedDisk:
		return fmt.Errorf("%s is on %s, but %s was booted", s.Firmware.Label, s.Firmware.Device.Disk, s.BootedDisk)
	case !s.Booted.IsSide():
		return errors.New("it is not known which side is booted")
	case len(s.Firmware.Duplicates) > 0:
		return step.WithHint(fmt.Errorf("the label %s is on several disks: which one is meant?", s.Firmware.Label), "take the other disk out")
	case len(s.Firmware.Users) > 0:
		return step.WithHint(fmt.Errorf("%s is %s", s.Firmware.Label, s.Firmware.Users[0]), "unmount it, or mount it read-only")
	}
	return nil
}

// proven says whether a side is whole, intact, and what it last committed.
func (s State) proven(label layout.Label) bool {
	side := s.Side(label)
	return side.Incomplete == "" && side.Damaged == "" && !side.Recovery && side.Info.Version != "" &&
		side.Info.Version == s.Loader.State.Version(label)
}

// NewHealthyCommit decides what a healthy boot does to the state by itself: it
// commits what the boot loader chose, unless that is a trial to be confirmed
// from outside.
func NewHealthyCommit(s State, now time.Time) (Change, error) {
	l := s.Loader
	switch s.Why {
	case bootstate.Manual, bootstate.Fallback, bootstate.LastResort:
		return Change{Says: fmt.Sprintf("healthy; nothing is committed: %s runs as %s", s.Booted, s.Why)}, nil
	}
	if s.Why.IsTrial() && l.Picked != 0 && l.State.Try == s.Booted && !l.healthConfirms() {
		return Change{Stage: trial.Unconfirmed, Says: fmt.Sprintf("healthy; %s, release %s, is kept once `neuralupgrade commit` is run from outside",
			s.Booted, s.BootedVersion)}, nil
	}
	return NewCommit(s, now)
}

// NewCommit decides what `commit` does: a trial that runs is kept, one that
// has failed is cleared, and the count of unhealthy boots begins anew.
func NewCommit(s State, now time.Time) (Change, error) {
	if s.Loader.Legacy != nil {
		return Change{Says: "nothing to commit: the first psyopsOS's loader knows no trials; `neuralupgrade apply efisys` replaces it"}, nil
	}
	if err := s.refuseLoader(); err != nil {
		return Change{}, err
	}
	l, booted := s.Loader, s.Side(s.Booted)
	healthy := l.Tries
	healthy.Run = 0
	switch {
	case l.State.Try == s.Booted && s.Why.IsTrial():
		if booted.Incomplete != "" || booted.Info.Version != s.BootedVersion {
			return Change{}, step.WithHint(fmt.Errorf("%s runs release %s, but the disk has %q there", s.Booted, s.BootedVersion, booted.Info.Version),
				"is this the disk that was booted?")
		}
		healthy = bootstate.Tries{} // nothing of the trial is left to tell
		change, err := settled(s.change(committed(l.State, s.Booted, s.BootedVersion, s.proven(s.Booted.Other()), now), healthy,
			"committed: %s, release %s, is the default", s.Booted, s.BootedVersion))
		change.Stage = trial.Committed
		return change, err
	case l.State.Try == s.Booted:
		return Change{}, step.WithHint(fmt.Errorf("%s is on trial, but was not booted as one (%s)", s.Booted, s.Why), "restart, so that the boot loader tries it")
	case l.onTrial():
		return Change{Says: fmt.Sprintf("nothing to commit: %s goes on trial with the next restart", l.State.Try)}, nil
	case s.Booted != l.State.Good || s.Why == bootstate.Fallback || s.Why == bootstate.LastResort:
		return Change{Says: fmt.Sprintf("nothing to commit: %s runs as %s, which commits nothing; the default is %s", s.Booted, s.Why, l.State.Good)}, nil
	case l.State.Try != "":
		version := s.Side(l.State.Try).Info.Version
		return settled(s.change(rejected(l.State, version, now), healthy, "the trial of %s, release %s, has failed; %s stays the default", l.State.Try, version, s.Booted))
	case !l.Same && !l.statesLost():
		return settled(s.change(s.again(), healthy, "finished an earlier change of the boot loader's state; %s is the default", s.Booted))
	case l.State.Alt == "" && s.proven(s.Booted.Other()):
		return settled(s.change(s.again(), healthy, "%s is the default; %s is proven, and has its place behind it again", s.Booted, s.Booted.Other()))
	}
	change, err := settled(s.change(l.State, healthy, "nothing to commit: %s is the default", s.Booted))
	change.Stage = trial.Committed // of a trial that was told of it no more
	return change, err
}

// again is the state once more, with the other side behind the good one where
// that is proven: an update that was cut off before it touched that side has
// taken its place away.
func (s State) again() bootstate.State {
	next := s.Loader.State
	next.Seq++
	if other := next.Good.Other(); s.proven(other) {
		next.Alt = other
	}
	return next
}

// NewDefault decides what `set-default` does. Another side is never made the
// default directly: it goes on trial.
func NewDefault(s State, label layout.Label, force bool, now time.Time) (Change, error) {
	if !label.IsSide() {
		return Change{}, usagef("%q is no side: %s or %s", label, layout.SideA, layout.SideB)
	}
	if err := s.refuseLoader(); err != nil {
		return Change{}, err
	}
	l := s.Loader
	switch {
	case l.State.Try == s.Booted && label == s.Booted:
		return Change{}, step.WithHint(fmt.Errorf("%s is on trial", label), "`neuralupgrade commit` keeps it")
	case l.State.Try == s.Booted, l.State.Try != "" && label == l.State.Good:
		return s.giveUp(now)
	case l.State.Try == label:
		return Change{Says: fmt.Sprintf("%s goes on trial with the next restart already", label)}, nil
	case label == l.State.Good:
		return Change{Says: fmt.Sprintf("%s is the default already", label)}, nil
	}
	return s.tryOther(label, force, now)
}

// NewRollback decides what `rollback` does: a trial is given up; without one
// the other side goes on trial.
func NewRollback(s State, force bool, now time.Time) (Change, error) {
	if err := s.refuseLoader(); err != nil {
		return Change{}, err
	}
	if s.Loader.State.Try != "" {
		return s.giveUp(now)
	}
	return s.tryOther(s.Loader.State.Good.Other(), force, now)
}

// giveUp ends a trial. Only one that has begun makes its version bad.
func (s State) giveUp(now time.Time) (Change, error) {
	l := s.Loader
	bad := l.State.Bad
	if l.State.Try == s.Booted && s.Why.IsTrial() || !l.onTrial() {
		bad = s.Side(l.State.Try).Info.Version
	}
	return s.change(rejected(l.State, bad, now), l.Tries, "the trial of %s is given up; %s stays the default", l.State.Try, l.State.Good)
}

// goodFailed reports whether the boot loader gave the good side up on this
// boot, and took this one.
func (s State) goodFailed() bool {
	return s.Booted != s.Loader.State.Good && (s.Why == bootstate.Fallback || s.Why == bootstate.LastResort)
}

// tryOther puts the side on trial that is not the good one. After a fallback
// that is the side which runs: it is how a machine whose good side has come to
// crash gets back to where a release can be applied.
func (s State) tryOther(label layout.Label, force bool, now time.Time) (Change, error) {
	side := s.Side(label)
	if err := refuseNewLoader(s, Request{}); err != nil {
		return Change{}, err
	}
	switch l := s.Loader; {
	case s.Booted != l.State.Good && !s.goodFailed():
		return Change{}, step.WithHint(fmt.Errorf("%s is booted, but %s is the committed side", s.Booted, l.State.Good), "restart into %s", l.State.Good)
	case side.Incomplete != "":
		return Change{}, fmt.Errorf("%s holds no whole release: %s", label, side.Incomplete)
	case side.Damaged != "":
		return Change{}, fmt.Errorf("%s would not start: %s", label, side.Damaged)
	case side.Recovery:
		return Change{}, fmt.Errorf("%s was not unmounted cleanly: the boot loader may not be able to read it", label)
	case side.Info.Version == l.State.Bad && !force:
		return Change{}, step.WithHint(fmt.Errorf("the last trial of release %s failed%s", l.State.Bad, l.lastFailure()), "--force tries it again")
	}
	alt := layout.Label("")
	if s.proven(label) {
		alt = label
	}
	state, tries := trialOf(s.Loader.State, s.Loader.Tries, alt, now)
	if s.goodFailed() || s.Unhealthy != "" {
		state = unproven(state, state.Good)
	}
	return s.change(state, tries, "%s, release %s, goes on trial with the next restart; `neuralupgrade commit` then keeps it", label, side.Info.Version)
}
