package upgrade

import (
	"testing"

	"psyopsOS/bootstate"
)

func TestTheNumberOfTriesIsAWish(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v2))
	for _, wrong := range []string{"0", "4", "-1"} {
		_, stderr := w.must(2, "apply", "nonbooted", "--repository", w.repo, "--tries", wrong)
		has(t, stderr, "--tries "+wrong+": the boot loader counts from 1 to 3")
	}
	out, _ := w.applies("--tries", "1", "--dry-run")
	has(t, out, "up to 1 boots, then psyopsOS-A again")
	w.applies("--tries", "1")
	if got, want := w.loader().Tries, (bootstate.Tries{Left: 1, For: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
