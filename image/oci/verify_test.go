package oci

import (
	"io"
	"strings"
	"testing"
)

// What is in itself in order, but another one: only the digest tells.
func TestOnlyTheDigestTellsWhatWasExchanged(t *testing.T) {
	want := sha256Of([]byte("honest"))
	if _, err := io.ReadAll(verified(strings.NewReader("honest"), want, 6)); err != nil {
		t.Error(err)
	}
	for _, size := range []int64{0, 6} {
		if _, err := io.ReadAll(verified(strings.NewReader("evil!!"), want, size)); err == nil || !strings.Contains(err.Error(), "was exchanged") {
			t.Errorf("got %v", err)
		}
	}
}
