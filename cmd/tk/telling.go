package main

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"psyopsOS/step"
)

// telling says how much is told, and in which form.
type telling struct{ json, verbose, quiet bool }

// runner tells on stderr what is done. What draws on a terminal is taken away
// by done.
func (t telling) runner(e env) (runner *step.Runner, done func()) {
	start := time.Now()
	sink, done := t.sink(e.stderr)
	return &step.Runner{Sink: sink, Now: func() time.Duration { return time.Since(start) }}, done
}

func (t telling) sink(w io.Writer) (sink step.Sink, done func()) {
	show := step.Normal
	switch {
	case t.json:
		return step.JSONLines(w), func() {}
	case t.verbose:
		show = step.Verbose
	case t.quiet:
		show = step.Quiet
	default:
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			bars := newBars(f, func() int { width, _, _ := term.GetSize(int(f.Fd())); return width })
			return bars.tell, bars.clear
		}
	}
	return step.Lines(w, "", show), func() {}
}

// writeJSON writes one value for machines.
func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
