package main

import (
	"slices"
	"sync"

	"psyopsOS/step"
)

// A story is what was told so far, and tells more. Lines of steps run side by
// side, and while one of them fails and its failure is handled, which reads
// the story and adds to it, the others go on telling.
type story struct {
	mu     sync.Mutex
	kept   step.Recorder
	others step.Sink // console, kernel log, events
}

// tell is the story's Sink.
func (s *story) tell(e step.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.Record(e)
	s.others(e)
}

// events are those so far.
func (s *story) events() []step.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept.Events)
}
