package release

import (
	"bytes"
	"crypto/sha512"
	"hash"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/blake2b"
)

// hashed is what votes are verified against where the file is not held whole:
// one hash for all pre-hashed signatures, and one for each legacy signature.
type hashed struct {
	prehashed hash.Hash
	legacy    map[vote]hash.Hash
}

func newHashed(votes []vote) (hashed, error) {
	s := hashed{legacy: map[vote]hash.Hash{}}
	for _, v := range votes {
		if v.sig.SignatureAlgorithm == legacy() {
			h := sha512.New()
			h.Write(v.sig.Signature[:32])
			h.Write(v.key.key.PublicKey[:])
			s.legacy[v] = h
			continue
		}
		if s.prehashed == nil {
			var err error
			if s.prehashed, err = blake2b.New512(nil); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// Write takes the next bytes of the file. It never fails.
func (s hashed) Write(p []byte) (int, error) {
	if s.prehashed != nil {
		s.prehashed.Write(p)
	}
	for _, h := range s.legacy {
		h.Write(p)
	}
	return len(p), nil
}

// signedBy reports whether the file that was written is what a vote signs.
func (s hashed) signedBy(v vote) bool {
	if h := s.legacy[v]; h != nil {
		return verifyHashed(v.key.key.PublicKey, v.sig.Signature, h.Sum(nil))
	}
	if s.prehashed == nil {
		return false
	}
	// A pre-hashed signature is a legacy signature of the file's hash, and
	// go-minisign wants either the file whole or that.
	v.sig.SignatureAlgorithm = legacy()
	ok, err := v.key.key.Verify(s.prehashed.Sum(nil), v.sig)
	return ok && err == nil
}

// verifyHashed verifies an Ed25519 signature (RFC 8032, section 5.1.7) whose
// hash of R, public key and message is there already. crypto/ed25519 does the
// same, but wants the message in memory: a release has hundreds of megabytes.
func verifyHashed(public [32]byte, signature [64]byte, sum []byte) bool {
	a, err := new(edwards25519.Point).SetBytes(public[:])
	if err != nil {
		return false
	}
	k, err := edwards25519.NewScalar().SetUniformBytes(sum)
	if err != nil {
		return false
	}
	s, err := edwards25519.NewScalar().SetCanonicalBytes(signature[32:])
	if err != nil {
		return false
	}
	r := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(k, a.Negate(a), s)
	return bytes.Equal(r.Bytes(), signature[:32])
}
