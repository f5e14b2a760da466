package upgrade

import (
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
)

func TestATerminalShowsRateAndTimeLeftOnOneLine(t *testing.T) {
	var b strings.Builder
	sink := onTerminal(&b, step.Lines(&b, "", step.Normal))
	const mib = 1 << 20
	for _, e := range []step.Event{
		{Kind: step.Started, Step: "write psyopsOS-B", Time: 0},
		{Kind: step.Progress, Step: "write psyopsOS-B", Time: time.Second, Done: 1 * mib, Total: 9 * mib},
		{Kind: step.Progress, Step: "write psyopsOS-B", Time: time.Second + redrawEvery/2, Done: 2 * mib, Total: 9 * mib},
		{Kind: step.Progress, Step: "write psyopsOS-B", Time: 3 * time.Second, Done: 5 * mib, Total: 9 * mib},
		{Kind: step.Finished, Step: "write psyopsOS-B", Time: 5 * time.Second, Elapsed: 5 * time.Second, Done: 9 * mib},
	} {
		sink(e)
	}
	want := "\rwrite psyopsOS-B: 1.0 MiB of 9.0 MiB (11 %)\x1b[K" +
		"\rwrite psyopsOS-B: 5.0 MiB of 9.0 MiB (55 %), 2.0 MiB/s, 2s left\x1b[K" +
		"\r\x1b[K[   5.000] write psyopsOS-B (5.0 s, 9.0 MiB)\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}

func TestWithoutATotalOnlyTheRateIsTold(t *testing.T) {
	got := pace(step.Event{Time: 3 * time.Second, Done: 4 << 20}, 2<<20, time.Second)
	if want := "4.0 MiB, 1.0 MiB/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Issue 4: --json printed an event for every few KiB that came in, which cost
// more than the update itself.
func TestProgressIsPacedAndItsEndIsTold(t *testing.T) {
	var told []int64
	sink := paced(func(e step.Event) { told = append(told, e.Done) })
	for i := int64(1); i <= 1000; i++ {
		sink(step.Event{Kind: step.Progress, Time: time.Duration(i) * time.Millisecond, Done: i, Total: 1000})
	}
	if want := []int64{1, 201, 401, 601, 801, 1000}; !slices.Equal(told, want) {
		t.Errorf("got %v, want %v", told, want)
	}
}

// --quiet tells warnings and failures only: the lines that scripts look for are
// no warnings.
func TestAQuietApplySaysNothing(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publish(makeBundle(t, v2))
	if out, err := w.applies("--quiet"); out+err != "" {
		t.Errorf("it says %q and %q", out, err)
	}
	w = newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, nil))
	if out, err := w.must(0, "apply", "efisys", "--quiet", "--repository", w.repo); out+err != "" {
		t.Errorf("it says %q and %q", out, err)
	}
	if _, err := w.must(1, "apply", "efisys", "--quiet", "--esp-tar", "/none"); err == "" {
		t.Error("a failure is not told")
	}
}
