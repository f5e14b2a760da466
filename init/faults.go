//go:build faults

package main

import (
	"context"
	"errors"
	"regexp"
	"time"

	"psyopsOS/step"
)

// A fault makes one step go wrong, so that a VM test can see what PID 1 makes
// of it. Only a build with the tag faults has it, and obeys this word, which
// is written here alone:
//
//	psyopsos.fault="STEP:KIND"
//
// The kinds: panic, error and hang happen in the step, before it does anything;
// telling is a panic of who is told that the step has begun, outside of the
// step's own guard.
type fault struct{ step, kind string }

func faultOf(line string) fault {
	m := regexp.MustCompile(`psyopsos\.fault="?([^":]+):(\w+)`).FindStringSubmatch(line)
	if m == nil {
		return fault{}
	}
	return fault{m[1], m[2]}
}

func faulty(line string, steps ...step.Step) []step.Step {
	f := faultOf(line)
	var changed []step.Step
	for _, s := range steps {
		changed = append(changed, f.change(line, s))
	}
	return changed
}

func (f fault) change(line string, s step.Step) step.Step {
	if len(s.Lines()) > 0 {
		var lines []step.Line
		for _, l := range s.Lines() {
			lines = append(lines, faulty(line, l...))
		}
		return step.Together(lines...)
	}
	if s.Name != f.step {
		return s
	}
	switch f.kind {
	case "panic":
		s.Do = func(context.Context, *step.Reporter) error { panic("a fault was asked for") }
	case "hang":
		s.Do = func(context.Context, *step.Reporter) error {
			for {
				time.Sleep(time.Hour)
			}
		}
	case "error":
		s.Do = func(context.Context, *step.Reporter) error { return errors.New("a fault was asked for") }
	}
	return s
}

func faultySink(line string) step.Sink {
	f := faultOf(line)
	return func(e step.Event) {
		if f.kind == "telling" && e.Step == f.step && e.Kind == step.Started {
			panic("a fault was asked for")
		}
	}
}
