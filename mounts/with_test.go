package mounts_test

import (
	"errors"
	"syscall"
	"testing"

	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
)

func TestWithUnmountsWhateverHappens(t *testing.T) {
	m := mounts.Mount{Source: "ram", Target: "/ram", Type: "tmpfs"}
	for name, want := range map[string]error{"success": nil, "failure": syscall.EIO} {
		sys := mountstest.New()
		err := mounts.With(sys, m, func(root string) error {
			if !sys.Mounted(root) {
				t.Errorf("%s: %s is not mounted", name, root)
			}
			return want
		})
		if !errors.Is(err, want) || sys.Mounted("/ram") {
			t.Errorf("%s: got %v; still mounted: %v", name, err, sys.Mounted("/ram"))
		}
	}
}

func TestWithTellsBothFailures(t *testing.T) {
	sys := mountstest.New()
	sys.Fail["Unmount"] = syscall.EBUSY
	err := mounts.With(sys, mounts.Mount{Target: "/ram"}, func(string) error { return syscall.EIO })
	if !errors.Is(err, syscall.EBUSY) || !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
}

func TestWithDoesNothingWhereTheMountFails(t *testing.T) {
	sys := mountstest.New()
	sys.Fail["Mount"] = syscall.ENODEV
	err := mounts.With(sys, mounts.Mount{Target: "/ram"}, func(string) error { t.Error("it was done"); return nil })
	if !errors.Is(err, syscall.ENODEV) || sys.Count("Unmount") != 0 {
		t.Errorf("got %v", err)
	}
}
