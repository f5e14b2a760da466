package upgrade

import (
	"fmt"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// The boot loader's state changes in these ways and no other. Each is a pure
// function from the state that GRUB goes by to the next one.

// trialOf puts the side that is not good on trial. alt is that side where it
// is proven, which a side that was just written is not.
func trialOf(s bootstate.State, t bootstate.Tries, alt layout.Label, now time.Time) (bootstate.State, bootstate.Tries) {
	s.Seq++
	s.Try, s.Alt, s.Time = s.Good.Other(), alt, now
	return s, bootstate.Tries{Left: bootstate.MaxTries, For: s.Seq, Run: t.Run}
}

// handedTo makes the proven other side the good one, before the good side
// itself is overwritten (POWERCUT.md, rule 5).
func handedTo(s bootstate.State, other layout.Label, now time.Time) bootstate.State {
	s.Seq++
	s.Good, s.Try, s.Alt, s.Time = other, "", "", now
	return s
}

// withdrawn takes away the other side's place behind the good one, before it is
// overwritten: else a new release, whole but never tried, would be what the
// loader falls back to after three boots that nobody found healthy.
func withdrawn(s bootstate.State, now time.Time) bootstate.State {
	s.Seq++
	s.Alt, s.Time = "", now
	return s
}

// committed makes the side that runs the good one. otherProven says whether
// the other side is whole and what it last committed.
func committed(s bootstate.State, side layout.Label, version string, otherProven bool, now time.Time) bootstate.State {
	s.Seq++
	s.Good, s.Try, s.Alt, s.Time = side, "", "", now
	if otherProven {
		s.Alt = side.Other()
	}
	if side == layout.SideA {
		s.A = version
	} else {
		s.B = version
	}
	s.Floor = max(s.Floor, version)
	if s.Bad == version {
		s.Bad = ""
	}
	return s
}

// unproven takes back what a side has committed: it has failed since. Else the
// side would be proven again as soon as the other one commits, and that one
// could be overwritten.
func unproven(s bootstate.State, side layout.Label) bootstate.State {
	if side == layout.SideA {
		s.A = ""
	} else {
		s.B = ""
	}
	return s
}

// rejected ends a trial whose release is not wanted: the good side stays.
func rejected(s bootstate.State, version string, now time.Time) bootstate.State {
	s.Seq++
	s.Try, s.Bad, s.Time = "", version, now
	return s
}

// A StateWrite is one write of one state file.
type StateWrite struct {
	Partition string // the device's path
	Path      string
	Content   []byte
	Mend      bool // what is there is no valid copy
}

// stateWrites are the writes that bring the disk from what l says to the next
// state, in the order in which a power cut between any two leaves a disk that
// boots: first the copy that GRUB would not pick, then the other. The counts of
// a trial come before both, since they mean nothing without the state that
// they are for; all other counts come after, so that a trial that is being
// committed can still be booted.
func (l Loader) stateWrites(next bootstate.State, tries bootstate.Tries) ([]StateWrite, error) {
	if next.Seq > bootstate.MaxSeq {
		return nil, fmt.Errorf("the boot loader's state has changed %d times: it cannot count further", l.State.Seq)
	}
	state, err := next.Render()
	if err != nil {
		return nil, err
	}
	onTrial := next.Try != "" && tries.For == next.Seq
	if l.statesLost() {
		return l.onlySecond(next, state, onTrial)
	}
	var counts, copies []StateWrite
	if tries != l.Tries || !isBlock(l.Copies.Tries) {
		content, err := tries.Render()
		if err != nil {
			return nil, err
		}
		counts = []StateWrite{{l.First, layout.Tries, content, true}}
	}
	if next != l.State || !l.Same {
		copies = []StateWrite{
			{l.First, layout.State1, state, !valid(l.Copies.State1)},
			{l.state2Partition(), layout.State2, state, !valid(l.Copies.State2)},
		}
		if l.Picked == 1 {
			copies[0], copies[1] = copies[1], copies[0]
		}
	}
	if onTrial {
		return append(counts, copies...), nil
	}
	return append(copies, counts...), nil
}

// onlySecond are the writes on a disk whose first EFI system partition has lost
// its folders: the one copy that is left.
func (l Loader) onlySecond(next bootstate.State, state []byte, onTrial bool) ([]StateWrite, error) {
	if onTrial {
		return nil, step.WithHint(fmt.Errorf("no trial can be counted: %w", l.lost()), hintRebuild)
	}
	if next == l.State {
		return nil, nil
	}
	return []StateWrite{{l.state2Partition(), layout.State2, state, false}}, nil
}

// after is the loader once writes are done.
func (l Loader) after(writes []StateWrite) Loader {
	for _, w := range writes {
		switch w.Path {
		case layout.State1:
			l.Copies.State1 = w.Content
		case layout.State2:
			l.Copies.State2 = w.Content
		case layout.Tries:
			l.Copies.Tries = w.Content
		}
	}
	l.State, l.Picked = bootstate.Pick(l.Copies.State1, l.Copies.State2)
	l.Same = string(l.Copies.State1) == string(l.Copies.State2)
	l.Tries = bootstate.ParseTries(l.Copies.Tries)
	return l
}

// state2Partition is where the second copy lies: on a disk with one EFI system
// partition beside the first.
func (l Loader) state2Partition() string {
	if l.Copies.State2On == 1 || l.Second == "" {
		return l.First
	}
	return l.Second
}

// isBlock is false of counts that a power cut has left as garbage: GRUB cannot
// count in them until they are written anew.
func isBlock(data []byte) bool {
	_, err := bootstate.ParseBlock(data)
	return err == nil
}

func valid(copy []byte) bool {
	_, err := bootstate.ParseState(copy)
	return err == nil
}
