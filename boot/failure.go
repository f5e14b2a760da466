package boot

import (
	"time"

	"psyopsOS/bootstate"
)

// An Ending is what a failed boot comes to when nobody presses a key.
type Ending string

// The endings.
const (
	Restart  Ending = "restart" // the boot loader chooses anew
	PowerOff Ending = "power off"
	Stay     Ending = "stay" // the failed step is repeated, and the shell offered again, for ever
)

// An Answer is what follows a failure before the hand-over.
type Answer struct {
	Shell bool // the emergency shell is offered
	// Patience is how long the offer stands, or without a shell how long the
	// message can be read, before the Ending.
	Patience time.Duration
	Ending   Ending
	// Blame says that FAIL.ENV is written: the boot loader chose this side by
	// its state, so that somebody will ask why.
	Blame bool
	// GiveUp says that the count of unhealthy boots of the good side is set to
	// its end, so that the loader takes the proven other side at once.
	GiveUp bool
	Why    string // a sentence for the person who reads the console
}

// unattended is how long a failure stands on the console before the machine
// restarts by itself: long enough to press a key. panic= sets another time.
const unattended = 10 * time.Second

// maxBackOff is the longest pause between restarts of a machine that has no
// other side to go to.
const maxBackOff = 10 * time.Minute

// AnswerTo decides what follows a failure, by the command line and by what the
// boot loader's state said before this failure. The rules are POWERCUT.md,
// "After GRUB": a trial ends by itself on the old side, a good side that broke
// on the proven other one, and nothing restarts for ever without a pause.
func AnswerTo(c Cmdline, state bootstate.State, tries bootstate.Tries, last bootstate.Fail) Answer {
	pause := unattended
	if c.Panic > 0 {
		pause = c.Panic
	}
	a := Answer{Shell: c.Shell != ShellNever, Patience: pause, Ending: Restart}
	switch {
	case c.Side == "" || c.Boot == bootstate.Manual:
		a.Why = "this side was chosen by hand"
		if a.Shell {
			a.Patience = c.Patience
		}
	case c.Boot.IsTrial():
		a.Blame, a.Why = true, "this was a trial: it counts as failed, and the old side comes back"
	case c.Boot == bootstate.Good && state.Good == c.Side && state.Alt != "":
		a.Blame, a.GiveUp, a.Why = true, true, "the loader takes "+string(state.Alt)+", which is proven"
	case c.Boot == bootstate.Good && state.Seq == 0:
		// The loader could read it. Where it can also count this ends; but
		// nobody here knows how often it was.
		a.Patience, a.Why = backOff(pause, 2), "the boot loader's state cannot be read: the loader chooses anew"
	case c.Boot == bootstate.Good:
		a.Blame, a.Patience, a.Why = true, backOff(pause, tries.Run), "there is no proven other side: this one is tried again"
	case c.Boot == bootstate.Fallback && state.Seq == 0:
		// Whether this is the first time cannot be known, and the loader would
		// take this side for ever.
		a.Ending, a.Patience, a.Why = Stay, c.Patience, "the good side has failed, and now this one: this needs a person"
	case c.Boot == bootstate.Fallback && last.Side == c.Side && last.Seq == state.Seq:
		a.Blame, a.Ending, a.Patience, a.Why = true, Stay, c.Patience, "both sides have failed: this needs a person"
	case c.Boot == bootstate.Fallback:
		a.Blame, a.Why = true, "the loader chooses once more"
	default: // lastresort
		a.Ending, a.Patience, a.Why = Stay, c.Patience, "this was the last resort: this needs a person"
	}
	switch c.OnFail {
	case OnFailReboot:
		a.Ending, a.Patience = Restart, backOff(pause, tries.Run)
	case OnFailPowerOff:
		a.Ending, a.Patience = PowerOff, pause
	case OnFailShell:
		a.Ending, a.Shell, a.Patience = Stay, true, c.Patience
	}
	return a
}

// backOff grows with the number of boots since the last healthy one.
func backOff(pause time.Duration, run int) time.Duration {
	d := pause
	for range max(0, run-1) {
		d = min(6*d, maxBackOff)
	}
	return d
}
