// Package trial ends a boot on trial that nobody commits.
//
// Start, called by init as early as it knows that this boot is a trial, starts
// a process that outlives the hand-over: the deadline. It runs from a copy of
// our binary in RAM, feeds the hardware watchdog, and restarts the machine when
// psyopsos.deadline= is over, so that neither a hung init nor a userland whose
// services are dead keeps a release that nobody can use. The boot loader then
// takes the other side, in the end.
//
// How the trial goes is told in /run/psyopsOS/trial (Tell, Told): by the health
// service, by commit, and by init when it handles a failure itself. The last
// word is the boot loader's state, which is read again before a restart.
package trial

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// A Stage is how far a boot on trial has come.
type Stage string

// The stages. Until the health service starts it stays at init's last step.
const (
	Booting     Stage = "booting"     // init is at a step
	Failing     Stage = "failing"     // init handles a failure, and maybe somebody is at its shell
	Judging     Stage = "judging"     // the health checks run
	Unhealthy   Stage = "unhealthy"   // they have failed, and the machine restarts
	Unconfirmed Stage = "unconfirmed" // healthy, and to be committed from outside
	Committing  Stage = "committing"
	Unwritten   Stage = "unwritten" // healthy, but the medium is gone: it is committed when it returns
	Committed   Stage = "committed"
)

// A Progress is what /run/psyopsOS/trial holds.
type Progress struct {
	Stage  Stage  `json:"stage"`
	Detail string `json:"detail,omitempty"` // the step, or the check
	// Release is the version that is booted, of Booting: boot.json is written
	// later.
	Release string `json:"release,omitempty"`
}

func file(root string) string { return filepath.Join(root, layout.TrialProgress) }

// Tell tells how the trial goes.
func Tell(root string, p Progress) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	// A reader must not see half of it.
	name := file(root)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// Told is what was told last; nothing where nobody has.
func Told(root string) Progress {
	var p Progress
	data, err := os.ReadFile(file(root))
	if err != nil || json.Unmarshal(data, &p) != nil {
		return Progress{}
	}
	return p
}

// Steps are those that init is at: several, where they are done side by side.
type Steps struct {
	at      []string
	failed  string // until it is repeated
	release string
}

// Heard takes in an event of the boot. The progress is news unless nothing is
// left to be at: what was told last is then the best that can be said until the
// next step begins. While a failure is handled, which init tells itself, what
// goes on beside it is no news.
func (s *Steps) Heard(e step.Event) (p Progress, news bool) {
	switch {
	case e.Kind == step.Started:
		s.at = append(s.at, e.Step)
		if e.Step == s.failed {
			s.failed = ""
		}
	case e.Kind == step.Finished, e.Kind == step.Failed:
		if e.Kind == step.Failed && !e.Optional {
			s.failed = e.Step
		}
		s.at = slices.DeleteFunc(s.at, func(at string) bool { return at == e.Step })
	case e.Key == "release":
		s.release = fmt.Sprint(e.Value)
	default:
		return Progress{}, false
	}
	return Progress{Stage: Booting, Detail: strings.Join(s.at, ", "), Release: s.release}, len(s.at) > 0 && s.failed == ""
}

// A Verdict is what the deadline does about a trial.
type Verdict int

// The verdicts.
const (
	Wait Verdict = iota
	Over         // the trial has ended well: nothing is left to guard
	Restart
)

// Judge is the verdict so long after the kernel's start.
func Judge(now, limit time.Duration, p Progress) Verdict {
	switch {
	case p.Stage == Committed, p.Stage == Unwritten:
		return Over
	case p.Stage == Failing:
		// init restarts the machine by itself, and a person at the emergency
		// shell is not to be interrupted.
		return Wait
	case now >= limit:
		return Restart
	}
	return Wait
}

// Reason is why a trial was not committed in time.
func Reason(limit time.Duration, handedOver bool, p Progress) string {
	var why string
	switch {
	case !handedOver && p.Stage == Booting:
		why = "init was at the step " + p.Detail
	case !handedOver:
		why = "init had not handed over"
	case p.Stage == Judging:
		why = "the health check " + p.Detail + " had not answered"
	case p.Stage == Unhealthy:
		why = "unhealthy, and the restart hung: " + p.Detail
	case p.Stage == Unconfirmed:
		why = "healthy, but nobody confirmed it from outside"
	case p.Stage == Committing:
		why = "healthy, but it could not be committed"
		if p.Detail != "" {
			why += ": " + p.Detail
		}
	default:
		why = "the health service never started"
	}
	return fmt.Sprintf("not committed %v after the kernel's start: %s", limit, why)
}
