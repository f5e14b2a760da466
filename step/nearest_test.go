package step

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"auto", "yes", "no"}
	for typed, want := range map[string]string{"aut": "auto", "YES": "yes", "n": "no", "": "no", "yess": "yes"} {
		if got := Nearest(typed, names); got != want {
			t.Errorf("%q: got %s, want %s", typed, got, want)
		}
	}
	if d := editDistance("kitten", "sitting"); d != 3 {
		t.Errorf("kitten to sitting: got %d changes, want 3", d)
	}
}
