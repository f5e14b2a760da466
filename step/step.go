// Package step runs named steps one after another and tells what happened.
//
// Boot, update and build are each a list of steps. A step does one thing that
// a person would name aloud; the runner does the timing, the telling and the
// retry, and turns a panic into an error. Every reader of the story (console,
// kernel log, boot.json, progress bar, test) is a Sink of the same Events.
package step

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// A Step is one thing to do.
type Step struct {
	Name     string
	Optional bool // a failure is told, and the run goes on
	// After names steps of the lines beside this one's that it waits for. Where
	// one of them is not reached, or fails for good, this step's line ends.
	After []string
	// Unless is asked when the step's turn comes in its line. Where it says true
	// the step is not needed: it waits for nothing, does nothing and tells nothing.
	Unless func() bool
	Do     func(ctx context.Context, r *Reporter) error

	together []Line
}

// A Line is a list of steps that run one after another.
type Line []Step

// Together is a step that runs lines side by side and waits for all of them.
// A line whose step fails for good stops there; the others run to their end.
func Together(lines ...Line) Step { return Step{together: lines} }

// Lines lists what runs side by side inside s; none for a plain step.
func (s Step) Lines() []Line { return s.together }

func (s Step) needless() bool { return s.Unless != nil && s.Unless() }

// An Error is the failure of one step.
type Error struct {
	Step string
	Err  error
}

func (e *Error) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// A Panic is a panic in a step, as an error.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Hint says what to do next.
func (p *Panic) Hint() string { return "this is a defect in psyopsOS: please report boot.json" }

// Guard calls f and returns its error, or its panic as a *Panic.
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// A Runner runs steps.
type Runner struct {
	Sink Sink
	// Now is the time since an instant of the caller's choice: the kernel's
	// start for the boot, the program's start elsewhere. It is asked from
	// several goroutines.
	Now func() time.Duration
	// OnFailure is asked after a step that is not optional has failed, and
	// says whether to repeat that step. Where it is nil nothing is repeated.
	OnFailure func(ctx context.Context, failure *Error) (again bool)

	telling sync.Mutex
	asking  sync.Mutex
}

// Run runs the steps in order and stops at the first that fails for good,
// with an *Error. It stops between steps when ctx ends.
func Run(ctx context.Context, sink Sink, now func() time.Duration, steps ...Step) error {
	return (&Runner{Sink: sink, Now: now}).Run(ctx, steps...)
}

// Run runs the steps in order; see the function Run.
func (r *Runner) Run(ctx context.Context, steps ...Step) error {
	for _, s := range steps {
		if s.needless() {
			continue
		}
		if err := r.run(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) run(ctx context.Context, s Step) error {
	if s.together != nil {
		return r.sideBySide(ctx, s.together)
	}
	for {
		if ctx.Err() != nil {
			return &Error{s.Name, context.Cause(ctx)}
		}
		err := r.once(ctx, s)
		if err == nil || s.Optional {
			return nil
		}
		failure := &Error{s.Name, err}
		if r.OnFailure == nil || !r.askOnFailure(ctx, failure) {
			return failure
		}
	}
}

// askOnFailure asks one failure at a time: lines may fail side by side, but
// there is one person at the console. That OnFailure itself panics is one more
// reason why the run ends.
func (r *Runner) askOnFailure(ctx context.Context, failure *Error) (again bool) {
	r.asking.Lock()
	defer r.asking.Unlock()
	err := Guard(func() error {
		again = r.OnFailure(ctx, failure)
		return nil
	})
	if err != nil {
		failure.Err, again = errors.Join(failure.Err, fmt.Errorf("while this failure was handled: %w", err)), false
	}
	return again
}

func (r *Runner) sideBySide(ctx context.Context, lines []Line) error {
	ends, err := newEnds(lines)
	if err != nil {
		return err
	}
	errs := make([]error, len(lines))
	var wait sync.WaitGroup
	for i, line := range lines {
		// Steps are guarded one by one; what is guarded here is the telling of
		// them. In PID 1 a panic of a goroutine is one of the kernel.
		wait.Go(func() { errs[i] = Guard(func() error { return r.runLine(ctx, line, ends) }) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (r *Runner) runLine(ctx context.Context, line Line, ends ends) error {
	defer func() { ends.leave(line) }() // what is left of it then
	for ; len(line) > 0; line = line[1:] {
		if !line[0].needless() {
			if !ends.await(line[0]) {
				return nil
			}
			if err := r.run(ctx, line[0]); err != nil {
				return err
			}
		}
		ends.reach(line[0])
	}
	return nil
}

func (r *Runner) once(ctx context.Context, s Step) error {
	report := &Reporter{runner: r, step: s.Name}
	start := r.Now()
	report.emit(Event{Kind: Started})
	err := Guard(func() error { return s.Do(ctx, report) })
	end := Event{Kind: Finished, Elapsed: r.Now() - start, Done: report.done, Total: report.done}
	if err != nil {
		end.Kind, end.Message, end.Hint = Failed, err.Error(), HintOf(err)
		end.Optional = s.Optional
		var p *Panic
		if errors.As(err, &p) {
			end.Stack = string(p.Stack)
		}
	}
	report.emit(end)
	return err
}

// A Reporter is how a step tells what it does while it does it. It may be
// used from several goroutines.
type Reporter struct {
	runner *Runner
	step   string
	done   int64
}

// Progress tells that done of total bytes are through; total is 0 where it is
// not known. Sinks decide how often to show it.
func (r *Reporter) Progress(done, total int64) {
	r.emit(Event{Kind: Progress, Done: done, Total: total})
}

// Note tells something worth keeping.
func (r *Reporter) Note(format string, a ...any) {
	r.emit(Event{Kind: Note, Message: fmt.Sprintf(format, a...)})
}

// Warn tells something that a person should look at, although the run goes on.
func (r *Reporter) Warn(err error) {
	r.emit(Event{Kind: Warning, Message: err.Error(), Hint: HintOf(err)})
}

// Fact tells a machine-readable fact, with its text for people; where that is
// empty, it is for machines alone.
func (r *Reporter) Fact(key string, value any, format string, a ...any) {
	r.emit(Event{Kind: Note, Key: key, Value: value, Message: fmt.Sprintf(format, a...)})
}

func (r *Reporter) emit(e Event) {
	r.runner.telling.Lock()
	defer r.runner.telling.Unlock()
	if e.Kind == Progress {
		r.done = e.Done
	}
	e.Time, e.Step = r.runner.Now(), r.step
	r.runner.Sink(e)
}
