package release

import (
	"fmt"
	"io"

	"golang.org/x/crypto/blake2b"
)

// Stream verifies what r gives, in constant memory, against one or more
// signature files. Unlike a Verifier it takes any comment: it is for files that
// are no releases too. Legacy signatures do not count.
func (k Keys) Stream(r io.Reader, signatures ...[]byte) (Vouched, error) {
	all, bad := k.votes(signatures)
	var votes []vote
	for _, v := range all {
		if v.sig.SignatureAlgorithm == legacy() {
			bad = append(bad, ErrLegacy)
			continue
		}
		votes = append(votes, v)
	}
	// What cannot be verified whatever r gives is refused before it is read.
	if _, err := k.count(votes, bad); err != nil {
		return Vouched{}, err
	}
	h, err := blake2b.New512(nil)
	if err != nil {
		return Vouched{}, err
	}
	if _, err := io.Copy(h, r); err != nil {
		return Vouched{}, fmt.Errorf("read what was signed: %w", err)
	}
	sum := h.Sum(nil)
	return k.contents(votes, bad, func(v vote) bool {
		v.sig.SignatureAlgorithm = legacy() // of the hash: see Verifier.Verify
		ok, err := v.key.key.Verify(sum, v.sig)
		return ok && err == nil
	})
}
