package bootstate

import (
	"fmt"
	"testing"

	"psyopsOS/layout"
)

func state(seq int, good, try, alt string) []byte {
	return pad(fmt.Sprintf("seq=%d\ngood=%s\ntry=%s\nalt=%s\nend=%d\n", seq, good, try, alt, seq))
}

func tries(left string, for_ int, run string) []byte {
	return pad(fmt.Sprintf("left=%s\nfor=%d\nrun=%s\n", left, for_, run))
}

func TestTheChoiceByState(t *testing.T) {
	const a, b = layout.SideA, layout.SideB
	committed, onTrial := state(4, "A", "0", "B"), state(4, "A", "B", "0")
	both, none := map[layout.Label]bool{a: true, b: true}, map[layout.Label]bool{}
	onlyA, onlyB := map[layout.Label]bool{a: true}, map[layout.Label]bool{b: true}
	for _, test := range []struct {
		name                 string
		copy1, copy2, counts []byte
		loads                map[layout.Label]bool
		copy                 int
		boot                 Boot
		after                Tries
	}{
		{"a committed side", committed, committed, tries("0", 0, "0"), both, 2, Boot{a, Good}, Tries{Left: 0, For: 0, Run: 1}},
		{"the higher number, copy 1", state(5, "B", "0", "A"), committed, tries("0", 0, "0"), both, 1, Boot{b, Good}, Tries{Left: 0, For: 0, Run: 1}},
		{"the higher number, copy 2", committed, state(10, "B", "0", "A"), tries("0", 0, "0"), both, 2, Boot{b, Good}, Tries{Left: 0, For: 0, Run: 1}},
		{"equal numbers, copy 2", committed, state(4, "B", "0", "0"), tries("0", 0, "0"), both, 2, Boot{b, Good}, Tries{Left: 0, For: 0, Run: 1}},
		{"copy 2 is damaged", committed, make([]byte, 512), tries("0", 0, "0"), both, 1, Boot{a, Good}, Tries{Left: 0, For: 0, Run: 1}},
		{"copy 1 is missing", nil, committed, tries("0", 0, "0"), both, 2, Boot{a, Good}, Tries{Left: 0, For: 0, Run: 1}},
		{"none is valid", nil, make([]byte, 512), tries("0", 0, "0"), both, 0, Boot{a, LastResort}, Tries{Left: 0, For: 0, Run: 0}},
		{"none is valid, A does not load", nil, nil, tries("0", 0, "0"), onlyB, 0, Boot{b, LastResort}, Tries{Left: 0, For: 0, Run: 0}},
		{"the first try", onTrial, onTrial, tries("3", 4, "0"), both, 2, Boot{b, Trial(2)}, Tries{Left: 2, For: 4, Run: 0}},
		{"the last try", onTrial, onTrial, tries("1", 4, "0"), both, 2, Boot{b, Trial(0)}, Tries{Left: 0, For: 4, Run: 0}},
		{"no try left", onTrial, onTrial, tries("0", 4, "0"), both, 2, Boot{a, Good}, Tries{Left: 0, For: 4, Run: 1}},
		{"tries for another state", onTrial, onTrial, tries("3", 3, "0"), both, 2, Boot{a, Good}, Tries{Left: 3, For: 3, Run: 1}},
		{"more tries than there are", onTrial, onTrial, tries("4", 4, "0"), both, 2, Boot{a, Good}, Tries{Left: 0, For: 4, Run: 1}},
		{"no counts", onTrial, onTrial, nil, both, 2, Boot{a, Good}, Tries{}},
		{"a trial of the good side is none", state(4, "A", "A", "0"), nil, tries("3", 4, "0"), both, 1, Boot{a, Good}, Tries{Left: 3, For: 4, Run: 1}},
		{"a trial that does not load", onTrial, onTrial, tries("3", 4, "1"), onlyA, 2, Boot{a, Good}, Tries{Left: 2, For: 4, Run: 2}},
		{"the good side does not load", committed, committed, tries("0", 0, "0"), onlyB, 2, Boot{b, LastResort}, Tries{Left: 0, For: 0, Run: 1}},
		{"nothing loads", committed, committed, tries("0", 0, "0"), none, 2, Boot{}, Tries{Left: 0, For: 0, Run: 1}},
		{"the third run", committed, committed, tries("0", 0, "2"), both, 2, Boot{a, Good}, Tries{Left: 0, For: 0, Run: 3}},
		{"after the third run", committed, committed, tries("0", 0, "3"), both, 2, Boot{b, Fallback}, Tries{Left: 0, For: 0, Run: 3}},
		{"after the third run, no other is proven", state(4, "A", "0", "0"), nil, tries("0", 0, "3"), both, 1, Boot{a, Good}, Tries{Left: 0, For: 0, Run: 3}},
		{"the fallback does not load", committed, committed, tries("0", 0, "3"), onlyA, 2, Boot{a, LastResort}, Tries{Left: 0, For: 0, Run: 3}},
		{"a run out of range counts as none", committed, committed, tries("0", 0, "4"), both, 2, Boot{a, Good}, Tries{Left: 0, For: 0, Run: 1}},
		{"a trial comes before the fallback", state(4, "A", "B", "B"), nil, tries("2", 4, "3"), both, 1, Boot{b, Trial(1)}, Tries{Left: 1, For: 4, Run: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Next(test.copy1, test.copy2, test.counts, func(side layout.Label) bool { return test.loads[side] })
			if got.Copy != test.copy || got.Boot != test.boot || ParseTries(got.Tries) != test.after {
				t.Errorf("got copy %d, %v, %+v; want copy %d, %v, %+v", got.Copy, got.Boot, ParseTries(got.Tries), test.copy, test.boot, test.after)
			}
		})
	}
}

func TestATrialWhoseCountCannotBeWrittenIsNotBooted(t *testing.T) {
	full := []byte(header + "left=3\nfor=4\nrun=0") // no free space that save_env could find
	got := Next(state(4, "A", "B", "0"), nil, full, func(layout.Label) bool { return true })
	if want := (Boot{layout.SideA, Good}); got.Boot != want {
		t.Errorf("got %v, want %v", got.Boot, want)
	}
}
