package main

import (
	"strings"
	"testing"
	"time"

	"psyopsOS/step"
)

// What is done stays on the terminal, what runs is drawn below and drawn over.
func TestBarsAreDrawnBelowWhatIsDone(t *testing.T) {
	var out strings.Builder
	b := newBars(&out, func() int { return 30 })
	for _, e := range []step.Event{
		{Step: "kernel", Kind: step.Started, Time: time.Second},
		{Step: "squashfs", Kind: step.Started, Time: 2 * time.Second},
		{Step: "kernel", Kind: step.Progress, Time: 2*time.Second + time.Millisecond, Done: 1}, // too soon to be drawn
		{Step: "kernel", Kind: step.Finished, Time: 3 * time.Second, Elapsed: 2 * time.Second},
		{Step: "squashfs", Kind: step.Failed, Time: 4 * time.Second, Message: "no"},
	} {
		b.tell(e)
	}
	const up1, up2 = "\x1b[1A\x1b[J", "\x1b[2A\x1b[J"
	kernel, squashfs := "        0s [                \n", "        0s [                \n"
	want := kernel + up1 + "        1s [                \n" + squashfs +
		up2 + "[   3.000] kernel (2.0 s)\n" + "        1s [                \n" +
		up1 + "[   4.000] FAILED: squashfs: no\n"
	if got := out.String(); !sameBut(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// sameBut compares without the blanks at the ends of lines.
func sameBut(a, b string) bool {
	trim := func(s string) string {
		lines := strings.Split(s, "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		return strings.Join(lines, "\n")
	}
	return trim(a) == trim(b)
}
