package repo

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"
)

// A StatusError is an answer that is not the file.
type StatusError struct {
	Address string
	Code    int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: the server says %d %s", e.Address, e.Code, http.StatusText(e.Code))
}

// Is makes "not found" the same thing over HTTP and in a folder.
func (e *StatusError) Is(target error) bool {
	return target == fs.ErrNotExist && (e.Code == http.StatusNotFound || e.Code == http.StatusGone)
}

// A StalledError is a server that said nothing for too long.
type StalledError struct {
	Address string
	After   time.Duration
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("%s: the server has sent nothing for %v", e.Address, e.After)
}

// A LengthError is a server that says another length of the tar than its
// signature.
type LengthError struct {
	Address     string
	Want, Have  int64
	MoreThanHas bool // Have is only what came before the rest was refused
}

func (e *LengthError) Error() string {
	if e.MoreThanHas {
		return fmt.Sprintf("%s: the server sends more than the %d bytes that it should have", e.Address, e.Want)
	}
	return fmt.Sprintf("%s: the server says that it has %d bytes, but it should have %d", e.Address, e.Have, e.Want)
}

// A ChangedError is a file that became another one while it was fetched.
type ChangedError struct{ Address string }

func (e *ChangedError) Error() string {
	return e.Address + ": the file has changed on the server while it was fetched"
}

// A RedirectError is a redirect that is not followed.
type RedirectError struct{ From, To, Why string }

func (e *RedirectError) Error() string {
	return fmt.Sprintf("redirected from %s to %s: %s", e.From, e.To, e.Why)
}

// A GaveUpError is the last of several failures in a row.
type GaveUpError struct {
	Attempts int
	Err      error
}

func (e *GaveUpError) Error() string {
	return fmt.Sprintf("%v (gave up after %d attempts in a row)", e.Err, e.Attempts)
}
func (e *GaveUpError) Unwrap() error { return e.Err }

// Hint says what to do next.
func (e *GaveUpError) Hint() string {
	return "look at the network and try again: what has been fetched is not fetched again"
}

// isFinal reports whether trying again is useless: the server has understood
// and said no, or what it says is wrong.
func isFinal(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code < 500
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return true
	}
	var redirect *RedirectError
	var length *LengthError
	var changed *ChangedError
	var answer *AnswerError
	return errors.As(err, &redirect) || errors.As(err, &length) || errors.As(err, &changed) ||
		errors.As(err, &answer) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// An AnswerError is an answer that is none to the question.
type AnswerError struct{ Address, Why string }

func (e *AnswerError) Error() string { return e.Address + ": " + e.Why }
