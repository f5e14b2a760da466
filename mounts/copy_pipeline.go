package mounts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

// A pipeline hands buffers from one reader to several sinks.
type pipeline struct {
	free     chan *buffer
	sinks    []*sink
	pieces   *pieces // nil where nobody wants them
	progress func(int64)
	memory   []byte
	done     int64 // bytes that are through all sinks
}

type buffer struct {
	bytes []byte
	full  int
	users sync.WaitGroup // the sinks that still need it
}

// newPipeline takes its buffers from the kernel: they begin on a page, as
// O_DIRECT wants, and go back at once when the copy is done.
func newPipeline(dst io.Writer, o CopyOptions) (*pipeline, error) {
	memory, err := unix.Mmap(-1, 0, copyBuffers*copyBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	p := &pipeline{free: make(chan *buffer, copyBuffers), memory: memory, progress: o.Progress}
	for i := range copyBuffers {
		p.free <- &buffer{bytes: memory[i*copyBytes:][:copyBytes:copyBytes]}
	}
	p.sinks = []*sink{startSink(dst)}
	if o.Hash != nil {
		p.sinks = append(p.sinks, startSink(o.Hash))
	}
	if o.Piece != nil {
		p.pieces = startPieces(o.Piece)
	}
	return p, nil
}

// firstBytes are read first: hashing, which takes longest of all where nothing
// helps it, does not wait for a whole buffer.
const firstBytes = pieceBytes

// fill reads the source to its end.
func (p *pipeline) fill(ctx context.Context, s source) error {
	for offset := int64(0); offset < s.size; {
		b := <-p.free
		p.through(b)
		if ctx.Err() != nil {
			return fmt.Errorf("copy %s: %w", s.name, context.Cause(ctx))
		}
		if err := p.failed(); err != nil {
			return err
		}
		room := b.bytes
		if offset == 0 {
			room = room[:firstBytes]
		}
		n, err := s.read(room, offset)
		if err != nil {
			return err
		}
		b.full = n
		b.users.Add(len(p.sinks))
		for _, sink := range p.sinks {
			sink.work <- b
		}
		p.pieces.hand(b, offset)
		offset += int64(n)
		p.free <- b
	}
	return nil
}

// through waits until all sinks are done with a buffer's contents.
func (p *pipeline) through(b *buffer) {
	b.users.Wait()
	if b.full == 0 || p.failed() != nil {
		return
	}
	p.done += int64(b.full)
	b.full = 0
	if p.progress != nil {
		p.progress(p.done)
	}
}

func (p *pipeline) failed() error {
	for _, s := range p.sinks {
		if err := s.err.Load(); err != nil {
			return *err
		}
	}
	return p.pieces.failed()
}

// close waits for the sinks and gives the buffers back.
func (p *pipeline) close() error {
	for range len(p.free) {
		p.through(<-p.free)
	}
	for _, s := range p.sinks {
		close(s.work)
		<-s.ended
	}
	p.pieces.end()
	return errors.Join(p.failed(), unix.Munmap(p.memory))
}
