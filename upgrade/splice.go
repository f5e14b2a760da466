package upgrade

import (
	"context"
	"fmt"
	"io"

	"psyopsOS/release"
	"psyopsOS/repo"
)

// A splice is a tar as it comes from a repository, with pieces of it taken
// from files that are here already. Everything that is read goes through the
// verifier, whichever way it came.
//
// It relies on archive/tar reading no byte before it needs it.
type splice struct {
	ctx      context.Context
	from     *repo.Reader
	verifier *release.Verifier
	hash     io.Writer // the verifier, or what leads to it
	local    io.Reader
	left     int64 // bytes that still come from local
	done     int64
	fetched  int64
	tell     func(done int64)
}

// insert makes the next n bytes come from r.
func (s *splice) insert(r io.Reader, n int64) error {
	if s.left > 0 {
		return fmt.Errorf("insert into a tar: %d bytes of the piece before are left", s.left)
	}
	if n == 0 {
		return nil
	}
	s.local, s.left = r, n
	return s.from.Skip(n)
}

func (s *splice) Read(p []byte) (n int, err error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	if s.left > 0 {
		n, err = s.local.Read(p[:min(int64(len(p)), s.left)])
		s.left -= int64(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
			if s.left == 0 {
				err = nil
			}
		}
	} else {
		n, err = s.from.Read(p)
		s.fetched += int64(n)
	}
	if n > 0 {
		if _, err := s.hash.Write(p[:n]); err != nil {
			return 0, err
		}
		s.done += int64(n)
		s.tell(s.done)
	}
	return n, err
}
