package release

import (
	"hash"

	"golang.org/x/crypto/blake2b"
)

// Vouched is what enough trusted keys have signed.
type Vouched struct {
	Comment string
	By      []PublicKey // different keys, in the order of the signatures
}

// Whole verifies a file that is held in memory, against one or more signature
// files. Legacy signatures count here.
func (k Keys) Whole(file []byte, signatures ...[]byte) (Vouched, error) {
	good, bad := k.votes(signatures)
	return k.contents(good, bad, func(v vote) bool {
		ok, err := v.key.key.Verify(file, v.sig)
		return ok && err == nil
	})
}

// contents keeps the votes whose signature belongs to the contents, and
// counts them.
func (k Keys) contents(votes []vote, bad []error, belongs func(vote) bool) (Vouched, error) {
	var good []vote
	for _, v := range votes {
		if k.anyone || belongs(v) {
			good = append(good, v)
		} else {
			bad = append(bad, &BadSignatureError{v.key.ID()})
		}
	}
	return k.count(good, bad)
}

// Info is what the signatures' comment says of a release, before its file is
// there. Only the comment is vouched for: see the package comment for what
// that is good for.
func (k Keys) Info(signatures ...[]byte) (Info, error) {
	v, err := k.Verifier(signatures...)
	if err != nil {
		return Info{}, err
	}
	return v.info, nil
}

// A Verifier is written the file of a release and says at the end whether it
// is what was signed. It keeps nothing but a hash.
type Verifier struct {
	keys    Keys
	votes   []vote
	info    Info
	hash    hash.Hash
	written int64
}

// Verifier is a verifier for the file that the signatures belong to. What can
// be refused without the file is refused here. Legacy signatures do not count.
func (k Keys) Verifier(signatures ...[]byte) (*Verifier, error) {
	all, bad := k.votes(signatures)
	var votes []vote
	for _, v := range all {
		if v.sig.SignatureAlgorithm == legacy() && !k.anyone {
			bad = append(bad, ErrLegacy)
			continue
		}
		votes = append(votes, v)
	}
	vouched, err := k.count(votes, bad)
	if err != nil {
		return nil, err
	}
	info, err := ParseComment(vouched.Comment)
	if err != nil {
		return nil, err
	}
	h, err := blake2b.New512(nil)
	if err != nil {
		return nil, err
	}
	return &Verifier{keys: k, votes: votes, info: info, hash: h}, nil
}

// Info is what Keys.Info says: vouched for, but not yet verified.
func (v *Verifier) Info() Info { return v.info }

// Write takes the next bytes of the file. It refuses bytes beyond the size
// that the comment names.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.info.Size > 0 && v.written+int64(len(p)) > v.info.Size {
		return 0, &SizeError{Want: v.info.Size, Have: v.written + int64(len(p))}
	}
	v.written += int64(len(p))
	return v.hash.Write(p)
}

// Verify says whether what was written is what enough trusted keys signed.
func (v *Verifier) Verify() (Info, error) {
	if v.info.Size > 0 && v.written != v.info.Size {
		return Info{}, &SizeError{Want: v.info.Size, Have: v.written}
	}
	// A pre-hashed signature is a legacy signature of the file's hash, and
	// go-minisign wants either the file whole or that.
	sum := v.hash.Sum(nil)
	_, err := v.keys.contents(v.votes, nil, func(vote vote) bool {
		vote.sig.SignatureAlgorithm = legacy()
		ok, err := vote.key.key.Verify(sum, vote.sig)
		return ok && err == nil
	})
	if err != nil {
		return Info{}, err
	}
	return v.info, nil
}
