package mounts

import (
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"psyopsOS/step"
)

// A sink writes one buffer after another on a goroutine of its own, which the
// pipeline's close waits for.
type sink struct {
	work  chan *buffer
	ended chan struct{}
	err   atomic.Pointer[error]
}

func startSink(w io.Writer, urgent bool) *sink {
	s := &sink{work: make(chan *buffer, copyBuffers), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		if urgent {
			defer goFirst()()
		}
		s.run(w)
	}()
	return s
}

// goFirst gives this goroutine's thread more of the processors than others get,
// until the function that it returns is called. It takes a right that only root
// has; without it nothing changes.
func goFirst() (stop func()) {
	const before, asAll = -10, 0
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), before)
	return func() {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), asAll)
		runtime.UnlockOSThread()
	}
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
