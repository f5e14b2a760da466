package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"psyopsOS/step"
)

// longestEvent bounds what is kept of a line without end.
const longestEvent = 1 << 20

// Events are what the guest's boot tells on its second serial port. Every
// event is kept.
type Events struct {
	console *Console // whose failures end a wait; nil: none

	mu      sync.Mutex
	partial []byte
	all     []step.Event
	strays  []string
	next    int // Expect looks at events from here on
	ended   error
	news    chan struct{}
}

func newEvents(console *Console) *Events {
	return &Events{console: console, news: make(chan struct{})}
}

// read takes in events until the port ends, and copies what came to log.
func (e *Events) read(port io.Reader, log io.Writer) {
	buf := make([]byte, 32<<10)
	for {
		n, err := port.Read(buf)
		if _, lost := log.Write(buf[:n]); lost != nil && err == nil {
			err = fmt.Errorf("event log: %w", lost)
		}
		err = ending(err)
		e.add(buf[:n], err)
		if err != nil {
			return
		}
	}
}

func (e *Events) add(data []byte, ended error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.partial = append(e.partial, data...)
	for {
		line, rest, whole := bytes.Cut(e.partial, []byte("\n"))
		if !whole {
			break
		}
		e.line(string(bytes.TrimSpace(line)))
		e.partial = rest
	}
	if ended != nil || len(e.partial) > longestEvent {
		// A guest that lost its power stops in the middle of a line.
		e.line(string(bytes.TrimSpace(e.partial)))
		e.partial = nil
	}
	e.ended = ended
	close(e.news)
	e.news = make(chan struct{})
}

func (e *Events) line(line string) {
	if line == "" {
		return
	}
	var ev step.Event
	if err := json.Unmarshal([]byte(line), &ev); err != nil || ev.Kind == "" {
		e.strays = append(e.strays, line)
		return
	}
	e.all = append(e.all, ev)
}

// Forget passes over all events so far: the guest restarts, and tells those of
// its next boot.
func (e *Events) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next = len(e.all)
}

// Expect waits for an event that want accepts, among those that came already
// and those to come. Steps that run side by side end in any order, so nothing
// is passed over by a match; only an accepted failure is, with all before it,
// since the repeated step tells its events again. A failure that is not
// accepted ends the wait, as does one on the console, and the guest's end.
func (e *Events) Expect(ctx context.Context, want func(step.Event) bool) (step.Event, error) {
	for from := 0; ; {
		ev, upTo, news, err := e.search(want, from)
		if ev != nil {
			return *ev, nil
		}
		if err == nil {
			err = e.wait(ctx, news)
		}
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return step.Event{}, fmt.Errorf("waiting for an event: %w%s", err, e.tail())
		}
		from = upTo
	}
}

func (e *Events) search(want func(step.Event) bool, from int) (*step.Event, int, <-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := max(from, e.next); i < len(e.all); i++ {
		ev := e.all[i]
		final := ev.Kind == step.Failed && !ev.Optional
		if want(ev) {
			if final {
				e.next = i + 1
			}
			return &ev, 0, nil, nil
		}
		if final {
			return nil, 0, nil, fmt.Errorf("the guest failed: %s", ev)
		}
	}
	return nil, len(e.all), e.news, e.ended
}

func (e *Events) wait(ctx context.Context, news <-chan struct{}) error {
	for {
		var failed error
		var consoleNews <-chan struct{}
		if e.console != nil {
			consoleNews, failed = e.console.failed()
		}
		if failed != nil {
			_ = wait(ctx, nil, lastWords)
			_, failed = e.console.failed()
			return failed
		}
		select {
		case <-news:
			return nil
		case <-consoleNews:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Skip passes over all events so far: what the next Expect accepts comes after
// them. It is for a guest that boots again.
func (e *Events) Skip() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next = len(e.all)
}

// All are the events so far.
func (e *Events) All() []step.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// Strays are lines on the port that are no events.
func (e *Events) Strays() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.strays)
}

// tail is what an error shows: the last events and the last lines of the console.
func (e *Events) tail() string {
	var b strings.Builder
	all := e.All()
	if len(all) == 0 {
		b.WriteString("; no event came")
	} else {
		b.WriteString("; the last events:")
		for _, ev := range all[max(0, len(all)-10):] {
			fmt.Fprintf(&b, "\n  - %8.3f %s", ev.Time.Seconds(), strings.ReplaceAll(ev.String(), "\n", "\n    "))
		}
	}
	if e.console != nil {
		b.WriteString(strings.Replace(e.console.tail(), "; ", "\n  ", 1))
	}
	return b.String()
}

// Finished accepts the event that the named step is done.
func Finished(name string) func(step.Event) bool {
	return func(e step.Event) bool { return e.Step == name && e.Kind == step.Finished }
}

// FailedStep accepts the event that the named step failed.
func FailedStep(name string) func(step.Event) bool {
	return func(e step.Event) bool { return e.Step == name && e.Kind == step.Failed }
}

// Fact accepts a machine-readable note.
func Fact(key string) func(step.Event) bool {
	return func(e step.Event) bool { return e.Key == key }
}

// Warned accepts a warning whose message contains text.
func Warned(text string) func(step.Event) bool {
	return func(e step.Event) bool { return e.Kind == step.Warning && strings.Contains(e.Message, text) }
}
