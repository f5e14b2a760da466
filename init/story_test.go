package main

import (
	"fmt"
	"sync"
	"testing"

	"psyopsOS/step"
)

// Two lines tell while a failure is handled, which reads and tells too. Without
// the lock events are lost, and a torn slice is a panic.
func TestLinesMayTellWhileAFailureIsHandled(t *testing.T) {
	const each = 2000
	told := 0
	s := &story{others: func(step.Event) { told++ }}
	var lines sync.WaitGroup
	for n := range 3 {
		lines.Go(func() {
			for i := range each {
				s.tell(step.Event{Step: fmt.Sprint(n), Kind: step.Note, Key: "k", Value: i})
				if i%100 == 0 {
					_ = s.events()
				}
			}
		})
	}
	lines.Wait()
	if got := len(s.events()); got != 3*each || told != got {
		t.Errorf("%d events are kept and %d were told of %d", got, told, 3*each)
	}
}
