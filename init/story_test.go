package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"psyopsOS/step"
)

// Two lines tell while a failure is handled, which reads and tells too. Without
// the lock events are lost, and a torn slice is a panic.
func TestLinesMayTellWhileAFailureIsHandled(t *testing.T) {
	const each = 2000
	told := 0
	s := &story{others: func() step.Sink { return func(step.Event) { told++ } }}
	var lines sync.WaitGroup
	for n := range 3 {
		lines.Go(func() {
			for i := range each {
				s.tell(step.Event{Step: fmt.Sprint(n), Kind: step.Note, Key: "k", Value: i})
				if i%100 == 0 {
					_ = s.events()
					s.flush()
				}
			}
		})
	}
	lines.Wait()
	s.flush()
	if got := len(s.events()); got != 3*each || told != got {
		t.Errorf("%d events are kept and %d were told of %d", got, told, 3*each)
	}
}

func TestABootDoesNotWaitForASlowConsoleButItsLastWordsDo(t *testing.T) {
	console := make(chan step.Event)
	s := &story{others: func() step.Sink { return func(e step.Event) { console <- e } }}
	for _, name := range []string{"one", "two", "three"} {
		s.tell(step.Event{Step: name}) // nobody reads the console
	}
	flushed := make(chan bool)
	go func() { s.flush(); close(flushed) }()
	var told []string
	for range 3 {
		select {
		case <-flushed:
			t.Fatalf("flushed when only %q was told", told)
		case e := <-console:
			told = append(told, e.Step)
		}
	}
	<-flushed
	if !slices.Equal(told, []string{"one", "two", "three"}) {
		t.Errorf("told %q", told)
	}
}

func TestAPanicOfTheTellingEndsTheBootAndIsNotWaitedForForEver(t *testing.T) {
	s := &story{others: func() step.Sink { return func(step.Event) { panic("a defect") } }}
	s.tell(step.Event{Step: "one"})
	s.flush()
	defer func() {
		if v := recover(); v != "a defect" {
			t.Errorf("told on, with %v", v)
		}
		s.flush()
	}()
	s.tell(step.Event{Step: "two"})
}
