// Package release says what a psyopsOS release is called, who signed it and
// what is in it: file names and trusted comments, minisign keys and
// signatures, the manifest. It verifies and never fetches.
//
// It reads bytes that come from outside (signature files, manifests) and from
// the image (public keys under layout.KeysDir and layout.PublicKey, and the
// optional file "threshold" beside them). It writes nothing; what is to be
// written comes back as bytes in the forms of the minisign program.
//
// Who is believed, and when:
//
//   - A file is verified when k different keys signed its contents and the
//     same trusted comment. Keys are different when their 32 key bytes are;
//     key ids can be edited by anyone and only choose which key to try.
//   - A comment without its file (Keys.Info) is vouched for by its global
//     signature alone. That is good enough to choose what to fetch, and for
//     nothing else: whoever ever made a legacy signature of a file of 64
//     bytes followed by a comment has made a global signature too.
//   - Legacy signatures (not pre-hashed) count for files held whole in memory
//     (Keys.Whole, Keys.VerifyManifest), never for streams and bare comments.
package release

import (
	"errors"
	"fmt"
)

// What a caller may want to tell apart. The others are types, below.
var (
	ErrUnsigned = errors.New("unsigned: there is no signature")
	ErrLegacy   = errors.New("legacy signature (not pre-hashed): accepted only for a file that is verified whole")
	ErrNoKeys   = errors.New("no trusted key")
)

// A NotTrustedError is a signature by a key that is not trusted.
type NotTrustedError struct {
	KeyID   string
	Trusted []string // the ids of the trusted keys
}

func (e *NotTrustedError) Error() string {
	return fmt.Sprintf("signed by key %s, which is not trusted (trusted: %s)", e.KeyID, list(e.Trusted))
}

// A BadSignatureError is a signature by a trusted key that does not belong to
// these contents.
type BadSignatureError struct{ KeyID string }

func (e *BadSignatureError) Error() string {
	return fmt.Sprintf("contents are not what key %s signed", e.KeyID)
}

// A CommentAlteredError is a trusted comment that its key did not sign.
type CommentAlteredError struct{ KeyID string }

func (e *CommentAlteredError) Error() string {
	return fmt.Sprintf("the trusted comment is not what key %s signed: altered", e.KeyID)
}

// A CommentsDifferError is two good signatures with different comments.
type CommentsDifferError struct{ One, Other string }

func (e *CommentsDifferError) Error() string {
	return fmt.Sprintf("the signatures vouch for different comments: %q and %q", e.One, e.Other)
}

// A TooFewError is fewer good signatures than the threshold asks for. It
// unwraps to what was wrong with the others.
type TooFewError struct {
	Have, Want int
	Others     []error
}

func (e *TooFewError) Error() string {
	s := fmt.Sprintf("too few signatures by different trusted keys: %d of %d", e.Have, e.Want)
	for _, err := range e.Others {
		s += "; " + err.Error()
	}
	return s
}

func (e *TooFewError) Unwrap() []error { return e.Others }

// A MalformedError is a text that does not have the form it should have.
type MalformedError struct {
	What string // "signature file", "public key", "trusted comment", "manifest", …
	Why  string
}

func (e *MalformedError) Error() string { return "malformed " + e.What + ": " + e.Why }

func malformed(what, format string, a ...any) error {
	return &MalformedError{what, fmt.Sprintf(format, a...)}
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	s := words[0]
	for _, w := range words[1:] {
		s += ", " + w
	}
	return s
}

// A SizeError is a file that is longer or shorter than its signature's
// comment says.
type SizeError struct{ Want, Have int64 }

func (e *SizeError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("more bytes than the %d that its signature names", e.Want)
	}
	return fmt.Sprintf("truncated: %d bytes of the %d that its signature names", e.Have, e.Want)
}
