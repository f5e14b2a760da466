package step

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

// doing are steps that note their names, and fail where their names end in "!".
func doing() (did func() []string, step func(name string, after ...string) Step) {
	var mu sync.Mutex
	var names []string
	did = func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(names) }
	step = func(name string, after ...string) Step {
		return Step{Name: name, After: after, Do: func(context.Context, *Reporter) error {
			mu.Lock()
			names = append(names, name)
			mu.Unlock()
			if strings.HasSuffix(name, "!") {
				return errors.New(name)
			}
			return nil
		}}
	}
	return did, step
}

func TestAStepComesAfterThoseBesideItThatItNames(t *testing.T) {
	for range 50 {
		did, s := doing()
		if _, err := run(t, nil, Together(Line{s("c", "a", "b"), s("d")}, Line{s("a", "b")}, Line{s("b")})); err != nil {
			t.Fatal(err)
		}
		if got, want := did(), []string{"b", "a", "c", "d"}; !slices.Equal(got, want) {
			t.Fatalf("ran %v, want %v", got, want)
		}
	}
}

func TestNobodyWaitsForAStepThatIsNotReached(t *testing.T) {
	for name, lines := range map[string]func(s func(string, ...string) Step) []Line{
		"it fails":             func(s func(string, ...string) Step) []Line { return []Line{{s("c", "b!")}, {s("b!")}} },
		"one before it fails":  func(s func(string, ...string) Step) []Line { return []Line{{s("c", "a")}, {s("b!"), s("a")}} },
		"what it waits for":    func(s func(string, ...string) Step) []Line { return []Line{{s("c", "a")}, {s("a", "b!")}, {s("b!")}} },
		"another one was fine": func(s func(string, ...string) Step) []Line { return []Line{{s("c", "x", "b!")}, {s("b!")}, {s("x")}} },
	} {
		did, s := doing()
		_, err := run(t, nil, Together(lines(s)...))
		var failure *Error
		if !errors.As(err, &failure) || failure.Step != "b!" || slices.Contains(did(), "c") {
			t.Errorf("%s: ran %v, and it ended with %v", name, did(), err)
		}
	}
}

func TestAnOptionalFailureIsNoReasonNotToGoOn(t *testing.T) {
	did, s := doing()
	fails := s("b!")
	fails.Optional = true
	if _, err := run(t, nil, Together(Line{s("c", "b!")}, Line{fails})); err != nil || !slices.Contains(did(), "c") {
		t.Errorf("ran %v, and it ended with %v", did(), err)
	}
}

func TestWhatNobodyCanWaitForIsRefused(t *testing.T) {
	for name, lines := range map[string]func(s func(string, ...string) Step) []Line{
		"a step that is not there": func(s func(string, ...string) Step) []Line { return []Line{{s("c", "a")}, {s("b")}} },
		"one that is there twice":  func(s func(string, ...string) Step) []Line { return []Line{{s("c", "a")}, {s("a")}, {s("a")}} },
	} {
		did, s := doing()
		if _, err := run(t, nil, Together(lines(s)...)); err == nil || len(did()) > 0 {
			t.Errorf("%s: ran %v, and it ended with %v", name, did(), err)
		}
	}
}

func TestAStepThatIsNotNeededWaitsForNothingAndIsNotTold(t *testing.T) {
	did, s := doing()
	needless, asked := s("b", "never"), 0
	needless.Unless = func() bool { asked++; return true }
	told, err := run(t, nil, Together(Line{s("a"), needless, s("c")}, Line{s("d", "b")}, Line{s("x!"), s("never")}))
	var failure *Error
	if !errors.As(err, &failure) || failure.Step != "x!" {
		t.Errorf("it ended with %v", err)
	}
	if got := did(); slices.Contains(got, "b") || !slices.Contains(got, "c") || !slices.Contains(got, "d") {
		t.Errorf("ran %v", got)
	}
	if slices.ContainsFunc(told, func(line string) bool { return strings.HasPrefix(line, "b ") }) || asked != 1 {
		t.Errorf("asked %d times, told %v", asked, told)
	}
}

func TestUnlessIsAskedWhenTheStepsTurnComes(t *testing.T) {
	for _, together := range []bool{true, false} {
		did, s := doing()
		b := s("b")
		b.Unless = func() bool { return !slices.Contains(did(), "a") }
		steps := []Step{s("a"), b}
		if together {
			steps = []Step{Together(steps)}
		}
		if _, err := run(t, nil, steps...); err != nil || !slices.Equal(did(), []string{"a", "b"}) {
			t.Errorf("together %v: ran %v, %v", together, did(), err)
		}
		did, s = doing()
		b = s("b")
		b.Unless = func() bool { return slices.Contains(did(), "a") }
		steps = []Step{s("a"), b}
		if together {
			steps = []Step{Together(steps)}
		}
		if _, err := run(t, nil, steps...); err != nil || !slices.Equal(did(), []string{"a"}) {
			t.Errorf("together %v: ran %v, %v", together, did(), err)
		}
	}
}
