package mounts

import (
	"runtime"
	"sync"
	"sync/atomic"

	"psyopsOS/step"
)

// pieceBytes divides copyBytes and firstBytes, so that a piece is never in two
// buffers.
const pieceBytes = 1 << 20

// pieces hands the pieces of buffers to as many goroutines as there are
// processors.
type pieces struct {
	work  chan piece
	ended sync.WaitGroup
	err   atomic.Pointer[error]
}

type piece struct {
	from   *buffer
	offset int64 // in the file
	bytes  []byte
}

func startPieces(do func(offset int64, b []byte) error) *pieces {
	p := &pieces{work: make(chan piece, copyBuffers*copyBytes/pieceBytes)} // all that can be on their way
	for range min(runtime.GOMAXPROCS(0), cap(p.work)) {
		p.ended.Go(func() { p.run(do) })
	}
	return p
}

// hand gives the pieces of a buffer away that begins there in the file.
func (p *pieces) hand(b *buffer, offset int64) {
	if p == nil {
		return
	}
	for from := 0; from < b.full; from += pieceBytes {
		b.users.Add(1)
		p.work <- piece{b, offset + int64(from), b.bytes[from:min(from+pieceBytes, b.full)]}
	}
}

// run goes on taking pieces after a failure, so that nobody waits for it.
func (p *pieces) run(do func(offset int64, b []byte) error) {
	for piece := range p.work {
		if p.err.Load() == nil {
			// In PID 1 a panic on a goroutine of our own would end the machine.
			if err := step.Guard(func() error { return do(piece.offset, piece.bytes) }); err != nil {
				p.err.CompareAndSwap(nil, &err)
			}
		}
		piece.from.users.Done()
	}
}

func (p *pieces) failed() error {
	if p == nil || p.err.Load() == nil {
		return nil
	}
	return *p.err.Load()
}

func (p *pieces) end() {
	if p != nil {
		close(p.work)
		p.ended.Wait()
	}
}
