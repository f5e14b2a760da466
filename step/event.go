package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Kind says what an Event tells.
type Kind string

// The kinds of events.
const (
	Started  Kind = "started"
	Progress Kind = "progress"
	Note     Kind = "note"
	Warning  Kind = "warning"
	Finished Kind = "finished"
	Failed   Kind = "failed"
)

// An Event is one thing that happened. Its JSON has times in seconds.
type Event struct {
	Time     time.Duration // since the runner's zero
	Step     string
	Kind     Kind
	Elapsed  time.Duration // of Finished and Failed
	Done     int64         // bytes
	Total    int64         // bytes; 0 where not known
	Key      string        // of a machine-readable Note
	Value    any           // of a machine-readable Note
	Message  string
	Hint     string
	Optional bool   // of a Failed that does not end the run
	Stack    string // of a Failed by a panic
}

// eventJSON is the form in boot.json, on psyopsos.events= and of --json.
type eventJSON struct {
	Time     float64 `json:"time"`
	Step     string  `json:"step,omitempty"`
	Kind     Kind    `json:"kind"`
	Elapsed  float64 `json:"elapsed,omitempty"`
	Done     int64   `json:"done,omitempty"`
	Total    int64   `json:"total,omitempty"`
	Key      string  `json:"key,omitempty"`
	Value    any     `json:"value,omitempty"`
	Message  string  `json:"message,omitempty"`
	Hint     string  `json:"hint,omitempty"`
	Optional bool    `json:"optional,omitempty"`
	Stack    string  `json:"stack,omitempty"`
}

// MarshalJSON gives times as seconds with microseconds.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(eventJSON{seconds(e.Time), e.Step, e.Kind, seconds(e.Elapsed), e.Done, e.Total,
		e.Key, e.Value, e.Message, e.Hint, e.Optional, e.Stack})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Event) UnmarshalJSON(data []byte) error {
	var j eventJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*e = Event{duration(j.Time), j.Step, j.Kind, duration(j.Elapsed), j.Done, j.Total,
		j.Key, j.Value, j.Message, j.Hint, j.Optional, j.Stack}
	return nil
}

func seconds(d time.Duration) float64  { return float64(d.Microseconds()) / 1e6 }
func duration(s float64) time.Duration { return time.Duration(s*1e6+0.5) * time.Microsecond }

// String renders the event as a console shows it, in one line or, with a
// hint, two. Started and Progress are for sinks that draw progress; here they
// are short lines too.
func (e Event) String() string {
	var b strings.Builder
	switch e.Kind {
	case Started:
		fmt.Fprintf(&b, "%s ...", e.Step)
	case Progress:
		fmt.Fprintf(&b, "%s: %s", e.Step, amount(e.Done, e.Total))
	case Finished:
		fmt.Fprintf(&b, "%s (%s", e.Step, brief(e.Elapsed))
		if e.Done > 0 {
			fmt.Fprintf(&b, ", %s", Bytes(e.Done))
		}
		b.WriteString(")")
	case Failed:
		fmt.Fprintf(&b, "FAILED: %s: %s", e.Step, e.Message)
	case Warning:
		fmt.Fprintf(&b, "warning: %s: %s", e.Step, e.Message)
	default:
		fmt.Fprintf(&b, "%s: %s", e.Step, e.Message)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "\nhint: %s", e.Hint)
	}
	return b.String()
}

func amount(done, total int64) string {
	if total == 0 {
		return Bytes(done)
	}
	return fmt.Sprintf("%s of %s", Bytes(done), Bytes(total))
}

func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// Bytes renders n bytes in the binary unit that a person would choose.
func Bytes(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// A Sink takes events, one at a time.
type Sink func(Event)

// Tee gives every event to all sinks, in order.
func Tee(sinks ...Sink) Sink {
	return func(e Event) {
		for _, s := range sinks {
			s(e)
		}
	}
}

type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }
func (h hinted) Hint() string  { return h.hint }

// WithHint adds to err what a person could do next. A nil err stays nil.
func WithHint(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return hinted{err, fmt.Sprintf(format, a...)}
}

// HintOf is the first hint found in err's tree, or the empty string.
func HintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
