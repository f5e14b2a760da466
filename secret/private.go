package secret

import (
	"fmt"
	"io"
)

// Private is something that no log, console or report may show. It prints as
// [private] whatever the verb and wherever it stands; Reveal is the one way to
// what it holds.
type Private struct {
	// fmt looks into fields that are not exported without asking their
	// methods, and in a complaint about a verb even behind a pointer; behind
	// two it shows an address.
	held **[]byte
}

const hidden = "[private]"

// Hide makes b private. The caller keeps no other reference to it.
func Hide(b []byte) Private {
	p := &b
	return Private{&p}
}

// Reveal is what was hidden; nil of the zero Private.
func (p Private) Reveal() []byte {
	if p.held == nil {
		return nil
	}
	return **p.held
}

// Format writes [private] for every verb.
func (Private) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String is for those who do not ask Format.
func (Private) String() string { return hidden }

// MarshalText is what encoding/json and others call.
func (Private) MarshalText() ([]byte, error) { return []byte(hidden), nil }
