package bootstate

import (
	"fmt"
	"strconv"
	"time"

	"psyopsOS/layout"
)

// A State is what one copy of the boot loader's state says. Its sides are ""
// where the file has 0.
type State struct {
	Seq   int          // 1 to 999,999,999; the valid copy with the higher one counts
	Good  layout.Label // the committed side
	Try   layout.Label // the side on trial
	Alt   layout.Label // the other side, where it is proven
	A, B  string       // the version that last committed on each side
	Floor string       // the highest version that ever committed here
	Bad   string       // the version whose last trial failed
	Time  time.Time    // when the state last changed, to the second
}

// MaxSeq is the highest sequence number: GRUB compares 32-bit numbers.
const MaxSeq = 999_999_999

// An InvalidError is a copy of the state that does not count.
type InvalidError struct{ Why string }

func (e *InvalidError) Error() string { return "invalid copy of the boot loader's state: " + e.Why }

// ParseState reads a copy of the state, and says why it does not count where
// it does not: the script's own rule.
func ParseState(data []byte) (State, error) {
	b, err := ParseBlock(data)
	if err != nil {
		return State{}, &InvalidError{err.Error()}
	}
	var s State
	if s.Seq = number(b.Get("seq")); s.Seq == 0 {
		return State{}, &InvalidError{fmt.Sprintf("seq is %q", b.Get("seq"))}
	}
	if b.Get("end") != b.Get("seq") {
		return State{}, &InvalidError{fmt.Sprintf("seq is %s, but end is %q", b.Get("seq"), b.Get("end"))}
	}
	var ok bool
	if s.Good, ok = layout.SideOf(b.Get("good")); !ok {
		return State{}, &InvalidError{fmt.Sprintf("good is %q", b.Get("good"))}
	}
	if s.Try, ok = sideOrNone(b.Get("try")); !ok {
		return State{}, &InvalidError{fmt.Sprintf("try is %q", b.Get("try"))}
	}
	if s.Alt, ok = sideOrNone(b.Get("alt")); !ok || s.Alt == s.Good {
		return State{}, &InvalidError{fmt.Sprintf("good is %s and alt is %q", s.Good.Letter(), b.Get("alt"))}
	}
	s.A, s.B, s.Floor, s.Bad = b.Get("a"), b.Get("b"), b.Get("floor"), b.Get("bad")
	// A time that cannot be read is no reason to lose a state.
	s.Time, _ = time.Parse(time.RFC3339, b.Get("time"))
	s.Time = s.Time.UTC()
	return s, nil
}

// Render is the state as the 512 bytes of its file.
func (s State) Render() ([]byte, error) {
	seq := strconv.Itoa(s.Seq)
	data, err := Block{
		{"seq", seq}, {"good", s.Good.Letter()}, {"try", letterOrNone(s.Try)}, {"alt", letterOrNone(s.Alt)},
		{"a", s.A}, {"b", s.B}, {"floor", s.Floor}, {"bad", s.Bad},
		{"time", s.Time.UTC().Format(time.RFC3339)}, {"end", seq},
	}.Render()
	if err != nil {
		return nil, err
	}
	if _, err := ParseState(data); err != nil {
		return nil, fmt.Errorf("render state %+v: %w", s, err)
	}
	return data, nil
}

// Version is the version that last committed on side.
func (s State) Version(side layout.Label) string {
	switch side {
	case layout.SideA:
		return s.A
	case layout.SideB:
		return s.B
	}
	return ""
}

// Tries is what the file of that name counts. What is not in range counts as
// zero.
type Tries struct {
	Left int // boots of the trial that are left, 0 to 3
	For  int // the state's Seq that they are for
	Run  int // boots of the good side since it was last healthy, 0 to 3
	// Confirm is who may commit the trial: "" the health checks, ConfirmRemote
	// only a commit from outside. GRUB keeps it and never reads it. It lies
	// here because it is lost only together with the trial itself.
	Confirm string
	// Of is how many boots the trial began with, 0 for MaxTries. It only tells
	// people how many were used.
	Of int
}

// Used is how many boots of the trial have begun.
func (t Tries) Used() int {
	of := t.Of
	if of == 0 {
		of = MaxTries
	}
	return max(0, of-t.Left)
}

// ConfirmRemote is the Confirm of a trial that nobody on the node commits.
const ConfirmRemote = "remote"

// MaxTries is how often a trial is booted, and how often an unhealthy good
// side before the loader falls back.
const MaxTries = 3

// ParseTries reads the counts; a block that cannot be read counts nothing.
func ParseTries(data []byte) Tries {
	b, err := ParseBlock(data)
	if err != nil {
		return Tries{}
	}
	return Tries{Left: count(b.Get("left")), For: number(b.Get("for")), Run: count(b.Get("run")), Confirm: b.Get("confirm"), Of: count(b.Get("of"))}
}

// Render is the counts as the 512 bytes of their file.
func (t Tries) Render() ([]byte, error) {
	if t.Left < 0 || t.Left > MaxTries || t.Run < 0 || t.Run > MaxTries || t.For < 0 || t.For > MaxSeq {
		return nil, fmt.Errorf("render tries: %+v is out of range", t)
	}
	b := Block{{"left", strconv.Itoa(t.Left)}, {"for", strconv.Itoa(t.For)}, {"run", strconv.Itoa(t.Run)}}
	if t.Confirm != "" {
		b = append(b, Var{"confirm", t.Confirm})
	}
	if t.Of != 0 {
		b = append(b, Var{"of", strconv.Itoa(t.Of)})
	}
	return b.Render()
}

// Initial is the state of a fresh disk, both of whose sides hold version.
func Initial(version string, now time.Time) (State, Tries) {
	return State{
		Seq: 1, Good: layout.SideA, Alt: layout.SideB,
		A: version, B: version, Floor: version, Time: now.UTC().Truncate(time.Second),
	}, Tries{}
}

// number is the value of a sequence number, 0 where s is none. GRUB reads a
// leading 0 as octal and wraps beyond 32 bits, so neither is one.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > MaxSeq || strconv.Itoa(n) != s {
		return 0
	}
	return n
}

func count(s string) int {
	if len(s) != 1 || s[0] < '0' || s[0] > '0'+MaxTries {
		return 0
	}
	return int(s[0] - '0')
}

func sideOrNone(letter string) (layout.Label, bool) {
	if letter == "0" {
		return "", true
	}
	return layout.SideOf(letter)
}

func letterOrNone(l layout.Label) string {
	if l == "" {
		return "0"
	}
	return l.Letter()
}
