package upgrade

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"testing"
)

func TestAnAsidePassesEverythingOn(t *testing.T) {
	content := make([]byte, 5*asideBytes+77)
	rand.New(rand.NewSource(1)).Read(content)
	for _, piece := range []int{1 << 10, asideBytes, 3*asideBytes + 1, len(content)} {
		var got bytes.Buffer
		a := newAside(&got)
		for rest := content; len(rest) > 0; {
			n, err := a.Write(rest[:min(piece, len(rest))])
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := a.wait(); err != nil || !bytes.Equal(got.Bytes(), content) {
			t.Errorf("in pieces of %d: %d bytes, %v", piece, got.Len(), err)
		}
	}
	if err := newAside(io.Discard).wait(); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}

// failing takes n bytes.
type failing struct{ n int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestAnAsideTellsTheErrorAndBlocksNobody(t *testing.T) {
	a := newAside(&failing{asideBytes})
	if _, err := a.Write(make([]byte, 20*asideBytes)); err != nil {
		t.Fatal(err)
	}
	if err := a.wait(); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}
