package alpine_test

import (
	"testing"

	"psyopsOS/image/alpine"
)

func TestVersionsAreOrderedAsApkOrdersThem(t *testing.T) {
	// Each is newer than the one before it.
	chain := []string{"0.1_alpha1", "0.1_alpha2", "0.1_beta", "0.1_pre3", "0.1_rc1", "0.1", "0.1-r0", "0.1-r1", "0.1-r10", "0.1_git1", "0.1_git1_p1", "0.1_p1", "0.1_p2-r1",
		"0.1a", "0.1b", "0.1b2", "0.1b10-r1", "0.1c", "0.1.0", "0.1.2", "0.1.10", "0.2.05", "0.2.1", "0.2.9", "0.12", "1", "1.2.3_git20230101", "20200101", "20200101123456789012345"}
	for i, a := range chain {
		if !alpine.ValidVersion(a) {
			t.Errorf("%s is a version", a)
		}
		for j, b := range chain {
			got := alpine.Compare(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s against %s: got %d", a, b, got)
			}
		}
	}
}

func TestWhatIsNoVersion(t *testing.T) {
	for _, v := range []string{"", "a", "1.", "1..2", "1_foo", "1-1", "1-r", "1.2ab", "1-r1.2", "1.2-r1_p1", "1 2", "../1", "1~", "1_rc1a"} {
		if alpine.ValidVersion(v) {
			t.Errorf("%q passes for a version", v)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1.2.3_rc4-r5", "1.2.3a~0af-r1")
	f.Add("1.05", "1.5_p")
	f.Fuzz(func(t *testing.T, a, b string) {
		if x, y := alpine.Compare(a, b), alpine.Compare(b, a); (x < 0) != (y > 0) || (x == 0) != (y == 0) {
			t.Errorf("%q against %q is %d, and the other way round %d", a, b, x, y)
		}
	})
}
