package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"psyopsOS/step"
)

// bars draw on a terminal what runs now, a line for each step with its bytes,
// below what is done. A Sink's events come one at a time.
type bars struct {
	w       io.Writer
	width   func() int
	lines   step.Sink
	running []running
	drawn   int // lines
	at      time.Duration
}

type running struct {
	name        string
	since       time.Duration
	done, total int64
}

// redrawEvery is how often progress is drawn again: fluent to the eye, and
// cheap over ssh.
const redrawEvery = 100 * time.Millisecond

func newBars(w io.Writer, width func() int) *bars {
	return &bars{w: w, width: width, lines: step.Lines(w, "", step.Normal)}
}

func (b *bars) tell(e step.Event) {
	i := slices.IndexFunc(b.running, func(r running) bool { return r.name == e.Step })
	switch e.Kind {
	case step.Started:
		b.running = append(b.running, running{name: e.Step, since: e.Time})
	case step.Progress:
		if i >= 0 {
			b.running[i].done, b.running[i].total = e.Done, e.Total
		}
		if e.Time-b.at < redrawEvery {
			return
		}
	default:
		b.clear()
		b.lines(e)
		if (e.Kind == step.Finished || e.Kind == step.Failed) && i >= 0 {
			b.running = slices.Delete(b.running, i, i+1)
		}
	}
	b.at = e.Time
	b.draw()
}

// clear takes the drawn lines away.
func (b *bars) clear() {
	if b.drawn > 0 {
		fmt.Fprintf(b.w, "\x1b[%dA\x1b[J", b.drawn)
	}
	b.drawn = 0
}

func (b *bars) draw() {
	b.clear()
	var text strings.Builder
	for _, r := range b.running {
		line := []rune(r.String(b.at))
		if width := b.width(); width > 0 && len(line) >= width {
			line = line[:width-1]
		}
		text.WriteString(string(line) + "\n")
	}
	b.drawn = len(b.running)
	fmt.Fprint(b.w, text.String())
}

const barWidth = 24

func (r running) String(now time.Duration) string {
	bar, amount := strings.Repeat(" ", barWidth), ""
	switch {
	case r.total > 0:
		full := int(min(r.done, r.total) * barWidth / r.total)
		bar = strings.Repeat("#", full) + strings.Repeat(".", barWidth-full)
		amount = fmt.Sprintf(" %s of %s", step.Bytes(r.done), step.Bytes(r.total))
	case r.done > 0:
		amount = " " + step.Bytes(r.done)
	}
	return fmt.Sprintf("%10s [%s] %s%s", (now - r.since).Truncate(time.Second), bar, r.name, amount)
}
