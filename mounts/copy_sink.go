package mounts

import (
	"fmt"
	"io"
	"sync/atomic"

	"psyopsOS/step"
)

// A sink writes one buffer after another on a goroutine of its own, which the
// pipeline's close waits for.
type sink struct {
	work  chan *buffer
	ended chan struct{}
	err   atomic.Pointer[error]
}

func startSink(w io.Writer) *sink {
	s := &sink{work: make(chan *buffer, copyBuffers), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.run(w)
	}()
	return s
}

// run goes on taking buffers after a failure, so that nobody waits for it.
func (s *sink) run(w io.Writer) {
	for b := range s.work {
		if s.err.Load() == nil {
			if err := writeAll(w, b.bytes[:b.full]); err != nil {
				s.err.Store(&err)
			}
		}
		b.users.Done()
	}
}

// writeAll turns a panic of the writer into an error: in PID 1 a panic on a
// goroutine of our own would end the machine.
func writeAll(w io.Writer, b []byte) error {
	return step.Guard(func() error {
		n, err := w.Write(b)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return fmt.Errorf("write the copy: %w", err)
		}
		return nil
	})
}
