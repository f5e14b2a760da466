package upgrade

import "io"

// An aside lets another goroutine do what is to be done with bytes that are on
// their way somewhere else: hashing costs more than writing where nothing in
// the processor helps it, and most machines have two.
type aside struct {
	free, work chan []byte
	part       []byte // not handed over yet
	ended      chan error
}

// So many buffers of this size wait to be hashed: the writer is never far
// ahead.
const (
	asideBuffers = 4
	asideBytes   = 256 << 10
)

// newAside begins to give to w what the aside is given. Whoever calls it calls
// wait.
func newAside(w io.Writer) *aside {
	a := &aside{free: make(chan []byte, asideBuffers), work: make(chan []byte, asideBuffers), ended: make(chan error, 1)}
	for range asideBuffers {
		a.free <- nil // made when it is needed: most files are small
	}
	go func() {
		var failed error
		for b := range a.work {
			if failed == nil {
				_, failed = w.Write(b)
			}
			a.free <- b[:0]
		}
		a.ended <- failed
	}()
	return a
}

// Write takes bytes; what w says of them, wait does.
func (a *aside) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if a.part == nil {
			if a.part = <-a.free; a.part == nil {
				a.part = make([]byte, 0, asideBytes)
			}
		}
		n := min(len(rest), asideBytes-len(a.part))
		a.part, rest = append(a.part, rest[:n]...), rest[n:]
		if len(a.part) == asideBytes {
			a.work <- a.part
			a.part = nil
		}
	}
	return len(p), nil
}

// wait comes back when w has had everything, with its first error.
func (a *aside) wait() error {
	if len(a.part) > 0 {
		a.work <- a.part
		a.part = nil
	}
	close(a.work)
	return <-a.ended
}
