package bootstate

import (
	"fmt"
	"strconv"
	"strings"

	"psyopsOS/layout"
)

// Pick is the state that GRUB goes by and the copy, 1 or 2, that it is from:
// the valid copy with the higher seq, copy 2 where they are equal, 0 where
// none is valid.
func Pick(copy1, copy2 []byte) (State, int) {
	s1, err1 := ParseState(copy1)
	s2, err2 := ParseState(copy2)
	switch {
	case err1 != nil && err2 != nil:
		return State{}, 0
	case err2 != nil, err1 == nil && s1.Seq > s2.Seq:
		return s1, 1
	}
	return s2, 2
}

// Why is the value of psyopsos.boot=: why GRUB booted this side.
type Why string

// Trials are "trial2", "trial1", "trial0": the number of tries left after it.
const (
	Good       Why = "good"
	Fallback   Why = "fallback"
	LastResort Why = "lastresort"
	Manual     Why = "manual"
)

// Trial is the Why of a trial after which left tries are left.
func Trial(left int) Why { return Why("trial" + strconv.Itoa(left)) }

// IsTrial reports whether w is that of a trial.
func (w Why) IsTrial() bool { return w == Trial(0) || w == Trial(1) || w == Trial(2) }

// A Boot is a side and why it is booted.
type Boot struct {
	Side layout.Label
	Why  Why
}

// A Choice is what GRUB makes of the state.
type Choice struct {
	Copy  int    // the copy of the state that it went by; 0: none was valid
	Boot  Boot   // zero where nothing could be loaded
	Went  []Boot // what it tried to load, the booted one last
	Tries []byte // the file of counts as GRUB leaves it; nil where it cannot be read
}

// Next is what GRUB chooses by the two copies of the state and the file of
// counts, as they are on the disk (nil where missing or unreadable). loads
// says which sides pass the script's checks.
func Next(copy1, copy2, tries []byte, loads func(layout.Label) bool) Choice {
	state, picked := Pick(copy1, copy2)
	c := Choice{Copy: picked, Tries: tries}
	for _, plan := range c.plans(state) {
		boot, ok := plan()
		if !ok {
			continue
		}
		c.Went = append(c.Went, boot)
		if loads(boot.Side) {
			c.Boot = boot
			break
		}
	}
	return c
}

// plans are the script's attempts in order. Each counts when its turn comes.
func (c *Choice) plans(s State) []func() (Boot, bool) {
	last := func(side layout.Label) func() (Boot, bool) {
		return func() (Boot, bool) { return Boot{side, LastResort}, true }
	}
	if c.Copy == 0 {
		return []func() (Boot, bool){last(layout.SideA), last(layout.SideB)}
	}
	trial := func() (Boot, bool) { return c.trial(s) }
	if ParseTries(c.Tries).Run == MaxTries && s.Alt != "" {
		fallback := func() (Boot, bool) { return Boot{s.Alt, Fallback}, true }
		return []func() (Boot, bool){trial, fallback, last(s.Good)}
	}
	good := func() (Boot, bool) {
		c.countRun()
		return Boot{s.Good, Good}, true
	}
	return []func() (Boot, bool){trial, good, last(s.Good.Other())}
}

// trial counts a try of the other side down, if there is one left for this
// state and the count can be written.
func (c *Choice) trial(s State) (Boot, bool) {
	t := ParseTries(c.Tries)
	if s.Try != s.Good.Other() || t.For != s.Seq || t.Left == 0 {
		return Boot{}, false
	}
	left := strconv.Itoa(t.Left - 1)
	after, ok := SetVar(c.Tries, "left", left)
	if !ok {
		return Boot{}, false
	}
	c.Tries = after
	if b, err := ParseBlock(after); err != nil || b.Get("left") != left {
		return Boot{}, false
	}
	return Boot{s.Try, Trial(t.Left - 1)}, true
}

// countRun counts a boot of the good side, as far as that can be written.
func (c *Choice) countRun() {
	run := min(MaxTries, ParseTries(c.Tries).Run+1)
	if after, ok := SetVar(c.Tries, "run", strconv.Itoa(run)); ok {
		c.Tries = after
	}
}

// KernelWords is the command line with which the script starts a side: for
// those who start one without it. A test in image/loader holds the two
// together.
func KernelWords(b Boot, partUUID, loader, append string) string {
	return strings.TrimSpace(fmt.Sprintf("ro psyopsos=%s psyopsos.boot=%s psyopsos.disk=%s psyopsos.loader=%s "+
		"console=tty0 console=ttyS0,115200 panic=10 oops=panic %s", b.Side, b.Why, partUUID, loader, append))
}
