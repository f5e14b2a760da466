package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A part is an open file of a repository, from some offset on.
type part struct {
	io.ReadCloser
	offset  int64  // where it begins: 0 where the server cannot begin elsewhere
	total   int64  // of the whole file; -1 where the server does not say
	tag     string // changes with the file; empty where there is none
	address string
}

// A Reader reads a release's tar, and goes on where it was after a connection
// broke. What it reads is verified by nobody yet.
type Reader struct {
	ctx     context.Context
	place   place
	options Options
	name    string
	size    int64 // by the signature, or else by the server; -1: not known yet

	offset   int64
	body     part
	tag      string
	tagged   bool
	failures int // in a row, since the last byte
}

// Open begins to read the tar. Nothing is asked of the server before the first
// Read.
func (r Release) Open(ctx context.Context) *Reader {
	size := r.Info.Size
	if size == 0 {
		size = -1
	}
	return &Reader{ctx: ctx, place: r.repository.place, options: r.repository.options, name: r.tar, size: size}
}

// Offset is how far it has read.
func (r *Reader) Offset() int64 { return r.offset }

// Size is the tar's size; -1 where neither signature nor server has said.
func (r *Reader) Size() int64 { return r.size }

// Close ends the connection.
func (r *Reader) Close() error {
	if r.body.ReadCloser == nil {
		return nil
	}
	err := r.body.Close()
	r.body = part{}
	return err
}

// cheapSkip is fetched rather than skipped: a new request costs about as much.
const cheapSkip = 128 << 10

// Skip leaves out the next n bytes, without fetching them where they are many.
func (r *Reader) Skip(n int64) error {
	if n < 0 || r.size >= 0 && r.offset+n > r.size {
		return fmt.Errorf("skip %d bytes at %d of %d", n, r.offset, r.size)
	}
	if n <= cheapSkip {
		_, err := io.CopyN(io.Discard, r, n)
		return err
	}
	_ = r.Close() // of a connection of which nothing more is wanted
	r.offset += n
	return nil
}

// Read reads the next bytes, over as many connections as it takes.
func (r *Reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.size >= 0 && r.offset == r.size {
			return 0, r.end()
		}
		n, err := r.readOnce(p)
		if n > 0 {
			r.offset += int64(n)
			r.failures = 0
			return n, nil
		}
		if err == io.EOF {
			return 0, io.EOF
		}
		if err := r.again(err); err != nil {
			return 0, err
		}
	}
}

// again waits before the next attempt, or says why there is none.
func (r *Reader) again(err error) error {
	_ = r.Close() // broken already
	r.failures++
	return retry(r.ctx, r.options, r.failures, err)
}

// patiently does something until it succeeds, as a Reader reads.
func patiently(ctx context.Context, o Options, do func() error) error {
	for failures := 1; ; failures++ {
		err := do()
		if err == nil {
			return nil
		}
		if err := retry(ctx, o, failures, err); err != nil {
			return err
		}
	}
}

// retry comes back with nil when it is time for the next attempt.
func retry(ctx context.Context, o Options, failures int, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if isFinal(err) {
		return err
	}
	if failures >= o.Attempts {
		return &GaveUpError{failures, err}
	}
	wait := pause(failures)
	o.Retrying(err, wait)
	return o.Sleep(ctx, wait)
}

// errShort is a connection that ended too early without saying so.
var errShort = errors.New("the connection ended before the file did")

// readOnce reads from the open connection, or opens one. io.EOF is the end of
// the file, of which nobody knew the size.
func (r *Reader) readOnce(p []byte) (int, error) {
	if r.body.ReadCloser == nil {
		if err := r.connect(); err != nil {
			return 0, err
		}
	}
	if r.size >= 0 {
		p = p[:min(int64(len(p)), r.size-r.offset)]
	}
	n, err := r.body.Read(p)
	if n > 0 || err == nil {
		return n, nil
	}
	if err == io.EOF && r.size >= 0 {
		err = fmt.Errorf("%s: at byte %d of %d: %w", r.body.address, r.offset, r.size, errShort)
	}
	return 0, err
}

func (r *Reader) connect() error {
	p, err := r.place.open(r.ctx, r.name, r.offset)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusRequestedRangeNotSatisfiable && r.size < 0 {
		return io.EOF // all of it is here already
	}
	if err != nil {
		return err
	}
	r.body = p
	if r.tagged && p.tag != r.tag {
		return &ChangedError{p.address}
	}
	r.tag, r.tagged = p.tag, true
	if r.size < 0 {
		r.size = p.total
	}
	if p.total >= 0 && p.total != r.size {
		return &LengthError{Address: p.address, Want: r.size, Have: p.total}
	}
	// A server that cannot begin in the middle sends all of it again.
	if _, err := io.CopyN(io.Discard, p, r.offset-p.offset); err != nil {
		return err
	}
	return nil
}

// endPatience is how long an end that is overdue is waited for.
const endPatience = 5 * time.Second

// end says whether the file really ends where it should. A server that told
// the length has been held to it already.
func (r *Reader) end() error {
	if r.body.ReadCloser == nil || r.body.total >= 0 {
		return io.EOF
	}
	if w, ok := r.body.ReadCloser.(*watched); ok {
		w.idle = min(w.idle, endPatience)
	}
	if n, _ := r.body.Read(make([]byte, 1)); n > 0 {
		return &LengthError{Address: r.body.address, Want: r.size, MoreThanHas: true}
	}
	return io.EOF
}
