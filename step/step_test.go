package step

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ticking is a clock that goes on by a second at each look.
func ticking() func() time.Duration {
	var t atomic.Int64
	return func() time.Duration { return time.Duration(t.Add(int64(time.Second))) }
}

func run(t *testing.T, onFailure func(context.Context, *Error) bool, steps ...Step) ([]string, error) {
	t.Helper()
	var rec Recorder
	r := Runner{Sink: rec.Record, Now: ticking(), OnFailure: onFailure}
	err := r.Run(t.Context(), steps...)
	var told []string
	for _, e := range rec.Events {
		told = append(told, e.Step+" "+string(e.Kind))
	}
	return told, err
}

func ok(context.Context, *Reporter) error { return nil }

func TestStepsRunInOrderAndStopAtTheFirstFailure(t *testing.T) {
	broken := errors.New("no such thing")
	told, err := run(t, nil,
		Step{Name: "one", Do: ok},
		Step{Name: "two", Optional: true, Do: func(context.Context, *Reporter) error { return broken }},
		Step{Name: "three", Do: func(context.Context, *Reporter) error { return broken }},
		Step{Name: "four", Do: ok})
	want := []string{"one started", "one finished", "two started", "two failed", "three started", "three failed"}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	var failure *Error
	if !errors.As(err, &failure) || failure.Step != "three" || !errors.Is(err, broken) {
		t.Errorf("got error %v, want the one of step three", err)
	}
}

func TestOnlyTheFailedStepIsRepeated(t *testing.T) {
	var count [3]int
	step := func(i, failures int) Step {
		return Step{Name: string(rune('a' + i)), Do: func(context.Context, *Reporter) error {
			count[i]++
			if count[i] <= failures {
				return errors.New("again")
			}
			return nil
		}}
	}
	again := func(context.Context, *Error) bool { return true }
	if _, err := run(t, again, step(0, 0), Together(Line{step(1, 2)}, Line{step(2, 0)})); err != nil {
		t.Fatal(err)
	}
	if want := [3]int{1, 3, 1}; count != want {
		t.Errorf("ran %v times, want %v", count, want)
	}
}

func TestAPanicIsAFailureWithItsStack(t *testing.T) {
	var rec Recorder
	err := Run(t.Context(), rec.Record, ticking(), Step{Name: "boom", Do: func(context.Context, *Reporter) error {
		var none *Reporter
		none.Note("through a nil pointer")
		return nil
	}})
	var p *Panic
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a panic as an error", err)
	}
	last := rec.Events[len(rec.Events)-1]
	if last.Kind != Failed || !strings.Contains(last.Stack, "step_test.go") || last.Hint == "" {
		t.Errorf("got %+v, want a failure with stack and hint", last)
	}
}

func TestLinesRunSideBySide(t *testing.T) {
	a, b := make(chan bool), make(chan bool)
	_, err := run(t, nil, Together(
		Line{{Name: "a", Do: func(context.Context, *Reporter) error { a <- true; <-b; return nil }}},
		Line{{Name: "b", Do: func(context.Context, *Reporter) error { <-a; b <- true; return nil }}}))
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingStartsAfterTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("Ctrl-C")
	cancel(stop)
	err := Run(ctx, func(Event) {}, ticking(), Step{Name: "never", Do: func(context.Context, *Reporter) error {
		t.Error("ran")
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
}

func TestEventsKeepTheirJSON(t *testing.T) {
	for _, e := range []Event{
		{Kind: Started, Step: "find psyopsOS-A", Time: 1500 * time.Millisecond},
		{Kind: Finished, Step: "copy", Time: time.Hour + time.Microsecond, Elapsed: 3 * time.Second, Done: 1 << 40, Total: 1 << 41},
		{Kind: Failed, Step: "x", Message: "no", Hint: "yes", Optional: true, Stack: "a\nb"},
		{Kind: Note, Step: "x", Key: "toram", Value: "auto", Message: "m"},
	} {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back Event
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, e) {
			t.Errorf("%s became %+v, want %+v", data, back, e)
		}
	}
}

func TestLinesShowWhatTheVerbosityAsksFor(t *testing.T) {
	events := []Event{
		{Kind: Started, Step: "copy squashfs", Time: time.Second},
		{Kind: Progress, Step: "copy squashfs", Time: 2 * time.Second, Done: 1 << 20, Total: 4 << 20},
		{Kind: Progress, Step: "copy squashfs", Time: 3 * time.Second, Done: 2 << 20, Total: 4 << 20},
		{Kind: Finished, Step: "copy squashfs", Time: 4 * time.Second, Elapsed: 3 * time.Second, Done: 4 << 20},
		{Kind: Failed, Step: "find psyopsOS-A", Time: 5 * time.Second, Message: "no volume", Hint: "look"},
	}
	for _, c := range []struct {
		name string
		show Verbosity
		want string
	}{
		{"quiet shows failures", Quiet, "> [   5.000] FAILED: find psyopsOS-A: no volume\n> [   5.000] hint: look\n"},
		{"normal shows rare progress and results", Normal, "> [   3.000] copy squashfs: 2.0 MiB of 4.0 MiB\n" +
			"> [   4.000] copy squashfs (3.0 s, 4.0 MiB)\n" +
			"> [   5.000] FAILED: find psyopsOS-A: no volume\n> [   5.000] hint: look\n"},
		{"verbose shows all", Verbose, "> [   1.000] copy squashfs ...\n" +
			"> [   2.000] copy squashfs: 1.0 MiB of 4.0 MiB\n> [   3.000] copy squashfs: 2.0 MiB of 4.0 MiB\n" +
			"> [   4.000] copy squashfs (3.0 s, 4.0 MiB)\n" +
			"> [   5.000] FAILED: find psyopsOS-A: no volume\n> [   5.000] hint: look\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			sink := Lines(&b, "> ", c.show)
			for _, e := range events {
				sink(e)
			}
			if b.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), c.want)
			}
		})
	}
}

func TestAHintSurvivesWrapping(t *testing.T) {
	err := &Error{"s", WithHint(errors.New("e"), "do %d", 1)}
	if got := HintOf(err); got != "do 1" {
		t.Errorf("got %q", got)
	}
	if WithHint(nil, "x") != nil {
		t.Error("a hint made an error of none")
	}
}

// A panic outside of a step's own code must not end the program either: it may
// be PID 1.
func TestAPanicOfWhoIsToldOrAskedEndsTheRunAndNotTheProgram(t *testing.T) {
	broken := Line{{Name: "broken", Do: func(context.Context, *Reporter) error { return errors.New("no such thing") }}}
	fine := Line{{Name: "fine", Do: ok}}
	for name, r := range map[string]*Runner{
		"the sink": {Sink: func(e Event) {
			if e.Step == "broken" {
				panic("sink")
			}
		}},
		"who is asked": {Sink: func(Event) {}, OnFailure: func(context.Context, *Error) bool { panic("asked") }},
	} {
		t.Run(name, func(t *testing.T) {
			r.Now = ticking()
			err := r.Run(t.Context(), Together(broken, fine))
			var p *Panic
			if !errors.As(err, &p) || len(p.Stack) == 0 {
				t.Errorf("got %v, want a panic with its stack", err)
			}
		})
	}
}
