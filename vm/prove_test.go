package vm

import (
	"strings"
	"testing"
)

func TestAnAcceleratorIsProvedByAGuest(t *testing.T) {
	if err := Prove(t.Context(), "", "tcg"); err != nil {
		t.Errorf("tcg: %v", err)
	}
	if err := Prove(t.Context(), "", "none-such"); err == nil || !strings.Contains(err.Error(), "none-such does not work: ") {
		t.Errorf("got %v", err)
	}
	if err := Prove(t.Context(), "true", "kvm"); err == nil || !strings.Contains(err.Error(), "without a word") {
		t.Errorf("a guest that says nothing: got %v", err)
	}
}
