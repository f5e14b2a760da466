package release

// Vouched is what enough trusted keys have signed.
type Vouched struct {
	Comment string
	By      []PublicKey // different keys, in the order of the signatures
}

// Whole verifies a file that is held in memory, against one or more signature
// files.
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
// is what was signed. It keeps nothing but hashes.
type Verifier struct {
	keys    Keys
	votes   []vote
	info    Info
	file    hashed
	written int64
}

// Verifier is a verifier for the file that the signatures belong to. What can
// be refused without the file is refused here.
func (k Keys) Verifier(signatures ...[]byte) (*Verifier, error) {
	votes, bad := k.votes(signatures)
	vouched, err := k.count(votes, bad)
	if err != nil {
		return nil, err
	}
	info, err := ParseComment(vouched.Comment)
	if err != nil {
		return nil, err
	}
	file, err := newHashed(votes)
	if err != nil {
		return nil, err
	}
	return &Verifier{keys: k, votes: votes, info: info, file: file}, nil
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
	return v.file.Write(p)
}

// Verify says whether what was written is what enough trusted keys signed.
func (v *Verifier) Verify() (Info, error) {
	if v.info.Size > 0 && v.written != v.info.Size {
		return Info{}, &SizeError{Want: v.info.Size, Have: v.written}
	}
	if _, err := v.keys.contents(v.votes, nil, v.file.signedBy); err != nil {
		return Info{}, err
	}
	return v.info, nil
}
