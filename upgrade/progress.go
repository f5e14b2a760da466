package upgrade

import (
	"fmt"
	"io"
	"os"
	"time"

	"psyopsOS/step"
)

// redrawEvery is how often the line of a terminal changes.
const redrawEvery = 200 * time.Millisecond

// onTerminal draws progress on one line, with rate and time left, and gives
// all other events to the sink.
func onTerminal(w io.Writer, others step.Sink) step.Sink {
	var began, drawn time.Duration
	var from int64 = -1 // what was done when the first progress was told
	open := false
	return func(e step.Event) {
		switch {
		case e.Kind == step.Progress:
			if from < 0 {
				from, began = e.Done, e.Time
			}
			if e.Time-drawn >= redrawEvery || e.Done == e.Total {
				fmt.Fprintf(w, "\r%s: %s\x1b[K", e.Step, pace(e, from, began))
				open, drawn = true, e.Time
			}
			return
		case e.Kind == step.Started:
			from = -1
		}
		if open {
			fmt.Fprint(w, "\r\x1b[K")
			open = false
		}
		others(e)
	}
}

// paced lets progress through as often as a terminal shows it, and its end.
func paced(sink step.Sink) step.Sink {
	var told time.Duration
	return func(e step.Event) {
		if e.Kind == step.Progress && e.Done != e.Total {
			if told > 0 && e.Time-told < redrawEvery {
				return
			}
			told = max(e.Time, 1)
		}
		sink(e)
	}
}

// withoutProgress is for logs: one line a phase.
func withoutProgress(sink step.Sink) step.Sink {
	return func(e step.Event) {
		if e.Kind != step.Progress {
			sink(e)
		}
	}
}

// pace is how far, how fast and how much longer.
func pace(e step.Event, from int64, began time.Duration) string {
	text := step.Bytes(e.Done)
	if e.Total > 0 {
		text += fmt.Sprintf(" of %s (%d %%)", step.Bytes(e.Total), e.Done*100/e.Total)
	}
	passed := (e.Time - began).Seconds()
	if passed < 1 || e.Done <= from {
		return text
	}
	rate := float64(e.Done-from) / passed
	text += fmt.Sprintf(", %s/s", step.Bytes(int64(rate)))
	if e.Total > e.Done {
		left := time.Duration(float64(e.Total-e.Done) / rate * float64(time.Second))
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}

// isTerminal reports whether somebody may be looking. /dev/null counts as one,
// which harms nobody.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
