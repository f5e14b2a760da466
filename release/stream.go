package release

import (
	"fmt"
	"io"
)

// Stream verifies what r gives, in constant memory, against one or more
// signature files. Unlike a Verifier it takes any comment: it is for files that
// are no releases too.
func (k Keys) Stream(r io.Reader, signatures ...[]byte) (Vouched, error) {
	votes, bad := k.votes(signatures)
	// What cannot be verified whatever r gives is refused before it is read.
	if _, err := k.count(votes, bad); err != nil {
		return Vouched{}, err
	}
	file, err := newHashed(votes)
	if err != nil {
		return Vouched{}, err
	}
	if _, err := io.Copy(file, r); err != nil {
		return Vouched{}, fmt.Errorf("read what was signed: %w", err)
	}
	return k.contents(votes, bad, file.signedBy)
}
