package step

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// JSONLines writes every event as one line of JSON. What cannot be written is
// lost: a full pipe must not stop a boot.
func JSONLines(w io.Writer) Sink {
	enc := json.NewEncoder(w)
	return func(e Event) { _ = enc.Encode(e) }
}

// A Verbosity says how much Lines shows.
type Verbosity int

// Quiet shows warnings and failures, Normal also what was done, Verbose also
// that a step has begun and each report of progress.
const (
	Normal Verbosity = iota
	Quiet
	Verbose
)

// progressEvery is how often a plain console tells of progress: often enough
// to see that a slow stick is alive, too seldom to slow a serial line.
const progressEvery = 2 * time.Second

// Lines writes events for people, a line each, as a plain console shows them.
// Every line begins with prefix and, in brackets, the seconds since the zero.
func Lines(w io.Writer, prefix string, show Verbosity) Sink {
	var lastProgress time.Duration
	return func(e Event) {
		switch e.Kind {
		case Started:
			lastProgress = e.Time
			if show != Verbose {
				return
			}
		case Progress:
			if show == Quiet || show == Normal && e.Time-lastProgress < progressEvery {
				return
			}
			lastProgress = e.Time
		case Note, Finished:
			if show == Quiet || e.Kind == Note && e.Message == "" {
				return
			}
		}
		for line := range strings.Lines(e.String()) {
			fmt.Fprintf(w, "%s[%8.3f] %s\n", prefix, e.Time.Seconds(), strings.TrimRight(line, "\n"))
		}
	}
}

// A Recorder keeps events, for boot.json and for tests. The zero Recorder is
// ready to use; its methods are called by one goroutine at a time, as a Sink's
// are.
type Recorder struct{ Events []Event }

// Record is the Recorder's Sink. Progress is not kept: the step's last event
// has its bytes.
func (r *Recorder) Record(e Event) {
	if e.Kind != Progress {
		r.Events = append(r.Events, e)
	}
}
