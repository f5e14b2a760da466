package main

import (
	"errors"
	"slices"
	"sync"

	"psyopsOS/step"
)

// A story is what was told so far, and tells more. Lines of steps run side by
// side, and while one of them fails and its failure is handled, which reads
// the story and adds to it, the others go on telling.
//
// Others are told behind the boot's back, in order: forty lines take 300 ms on
// a serial line of 115200 baud, and a boot does not wait for them.
type story struct {
	mu     sync.Mutex
	kept   step.Recorder
	others func() step.Sink // opens console, kernel log, events

	untold  []step.Event
	telling chan struct{} // closed when all is told; nil where nothing is to be told
	broken  *step.Panic   // of the telling
	sink    step.Sink     // of others; used by the telling alone
}

// tell is the story's Sink. That the telling has panicked ends the boot.
func (s *story) tell(e step.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		panic(s.broken.Value)
	}
	s.kept.Record(e)
	s.untold = append(s.untold, e)
	if s.telling == nil {
		s.telling = make(chan struct{})
		go s.tellOthers()
	}
}

// tellOthers tells until nothing is left to be told.
func (s *story) tellOthers() {
	for events := s.next(nil); len(events) > 0; {
		events = s.next(step.Guard(func() error {
			if s.sink == nil {
				s.sink = s.others()
			}
			for _, e := range events {
				s.sink(e)
			}
			return nil
		}))
	}
}

// next gives what is to be told now, and after a failure nothing any more.
func (s *story) next(failed error) []step.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.As(failed, &s.broken) {
		s.untold = nil
	}
	events := s.untold
	s.untold = nil
	if len(events) == 0 {
		close(s.telling)
		s.telling = nil
	}
	return events
}

// flush waits until all that was told so far has reached the others.
func (s *story) flush() {
	s.mu.Lock()
	telling := s.telling
	s.mu.Unlock()
	if telling != nil {
		<-telling
	}
}

// events are those so far.
func (s *story) events() []step.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept.Events)
}
