package upgrade

import (
	"fmt"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// A Failure is the last boot that went wrong, as far as anybody knows.
type Failure struct {
	Side          layout.Label
	Version       string
	Stage, Reason string // empty where nobody could write them down
	TriesUsed     int    // of a trial that left no report; 0 where that is not known
	Boots         int    // of a default that left no report
}

// failed is the last failure. FAIL.ENV tells it, if it is of the trial that
// the state says has failed.
func (l Loader) failed(report boot.Report) Failure {
	written := Failure{Side: l.Fail.Side, Version: l.Fail.Version, Stage: l.Fail.Stage, Reason: l.Fail.Reason}
	running := l.State.Try == report.Side && bootstate.Why(report.Why).IsTrial()
	switch good := l.State.Good; {
	case l.Tries.Run == bootstate.MaxTries && report.Side != good && (l.Fail.Side != good || l.Fail.Seq != l.State.Seq):
		return Failure{Side: good, Version: l.State.Version(good), Boots: l.Tries.Run}
	case l.Tries.Run == bootstate.MaxTries && report.Side != good:
		// FAIL.ENV says why the default was left.
	case l.State.Try != "" && !running && !l.onTrial() && l.Fail.Seq != l.State.Seq:
		// Health has not cleared the trial yet.
		return Failure{Side: l.State.Try, TriesUsed: l.used(l.State.Seq)}
	case l.State.Bad != "" && l.Fail.Version != l.State.Bad && l.Fail.Seq != l.State.Seq:
		return Failure{Version: l.State.Bad, TriesUsed: l.used(l.State.Seq - 1)}
	}
	return written
}

// used is how many boots of the trial of that number were counted.
func (l Loader) used(seq int) int {
	if l.Tries.For != seq {
		return 0
	}
	return l.Tries.Used()
}

// String is the failure in one line; empty where there was none.
func (f Failure) String() string {
	if f == (Failure{}) {
		return ""
	}
	what := string(f.Side)
	if f.Version != "" {
		if what != "" {
			what += ", "
		}
		what += "release " + f.Version
	}
	return what + ": " + f.why()
}

func (f Failure) why() string {
	switch {
	case f.Stage != "":
		return f.Stage + ": " + f.Reason
	case f.TriesUsed > 0:
		return fmt.Sprintf("no report: panic, hang or power cut, %d tries used", f.TriesUsed)
	case f.Boots > 0:
		return fmt.Sprintf("no report: panic, hang or power cut, %d boots", f.Boots)
	}
	return "no report: panic, hang or power cut"
}

func (f Failure) tree() (t tree) {
	t.add("side", string(f.Side))
	t.add("version", f.Version)
	t.add("stage", f.Stage)
	t.add("reason", f.Reason)
	if f.Stage == "" {
		t.add("tries_used", f.TriesUsed)
	}
	return t
}
