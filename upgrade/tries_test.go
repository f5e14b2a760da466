package upgrade

import (
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
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
	if got, want := w.loader().Tries, (bootstate.Tries{Left: 1, For: 3, Of: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Issue 4, tests: a committed release that starts to crash. The machine has
// fallen back, status says why, and there is a way from there to another
// release.
func TestAfterAFallbackThereIsAWayOn(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v2))
	w.applies()
	w.boots(layout.SideB, v2, bootstate.Trial(2))
	w.must(0, "commit")
	w.changeState(func(_ *bootstate.State, t *bootstate.Tries) { t.Run = bootstate.MaxTries })
	w.boots(layout.SideA, v1, bootstate.Fallback)

	out, _ := w.must(0, "status")
	has(t, out, "failed:    psyopsOS-B, release "+v2+": no report: panic, hang or power cut, 3 boots\n")
	w.publish(makeBundle(t, v3))
	_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "psyopsOS-A is booted, but psyopsOS-B is the committed side", "hint: `neuralupgrade rollback` and a restart make psyopsOS-A the default")

	out, _ = w.must(0, "rollback")
	has(t, out, "psyopsOS-A, release "+v1+", goes on trial with the next restart")
	if got, want := w.state(), (bootstate.State{Seq: 5, Good: layout.SideB, Try: layout.SideA, Alt: layout.SideA, A: v1, Floor: v2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	w.boots(layout.SideA, v1, bootstate.Trial(2))
	w.must(0, "commit")
	w.applies()
	if got := w.state(); got.Good != layout.SideA || got.Try != layout.SideB {
		t.Errorf("got %+v", got)
	}
}
