package mounts_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
)

// ignore is a hotplug that has no drivers to load.
func ignore([]mounts.Uevent) {}

func lookFor(sys mounts.System, label layout.Label) func() (bool, error) {
	return func() (bool, error) {
		volumes, err := mounts.FindLabels(sys)
		if err != nil {
			return false, err
		}
		_, _, err = mounts.Choose(volumes, label, "")
		return err == nil, nil
	}
}

func TestAwaitFindsAtOnceWhatIsThere(t *testing.T) {
	sys := mountstest.New()
	sys.Plug(partition("vda", 3, ""), ext4Head("psyopsOS-A"))
	if err := mounts.Await(t.Context(), sys, ignore, lookFor(sys, layout.SideA)); err != nil {
		t.Fatal(err)
	}
	if calls := sys.Calls(); calls[0] != "Uevents" {
		t.Errorf("looked before it listened: %v", calls)
	}
	if sys.Listeners() != 0 {
		t.Error("it listens still")
	}
}

// Issue 2: "a stick that appears after 8 s is found at once, and a test counts
// that nothing is scanned between the last uevent and the stick".
func TestAStickAfter8SecondsIsFoundAtOnceAndNothingIsScannedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := mountstest.New()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		done := make(chan error, 1)
		go func() { done <- mounts.Await(ctx, sys, ignore, lookFor(sys, layout.SideA)) }()

		synctest.Wait()
		expectLooks(t, sys, 1, "at once")
		time.Sleep(2 * time.Second)
		sys.Send(mounts.Uevent{Action: "add", Subsystem: "usb", Devname: "bus/usb/001/002"}, mountstest.Added("loop0"))
		synctest.Wait()
		expectLooks(t, sys, 1, "after events that bring no storage")
		sys.Plug(partition("sda", 1, ""), ext4Head("another"))
		sys.Send(mountstest.Added("sda"), mountstest.Added("sda1"))
		synctest.Wait()
		expectLooks(t, sys, 2, "after the first disk, whose events came in one burst")
		time.Sleep(6 * time.Second)
		expectLooks(t, sys, 2, "just before the stick")

		sys.Plug(partition("sdb", 3, ""), ext4Head("psyopsOS-A"))
		sys.Send(mountstest.Added("sdb"), mountstest.Added("sdb1"), mountstest.Added("sdb2"), mountstest.Added("sdb3"))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		expectLooks(t, sys, 3, "after the stick")
		if waited := time.Since(start); waited != 8*time.Second {
			t.Errorf("found after %v, want 8s", waited)
		}
	})
}

func expectLooks(t *testing.T, sys *mountstest.Fake, want int, when string) {
	t.Helper()
	if got := sys.Count("Devices"); got != want {
		t.Errorf("%s: looked %d times, want %d", when, got, want)
	}
}

func TestAwaitLooksAgainWhenEventsWereLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := mountstest.New()
		done := make(chan error, 1)
		go func() { done <- mounts.Await(t.Context(), sys, ignore, lookFor(sys, layout.SideA)) }()
		synctest.Wait()
		sys.Plug(partition("sda", 3, ""), ext4Head("psyopsOS-A"))
		sys.Overflow()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		expectLooks(t, sys, 2, "after the overflow")
	})
}

func TestAwaitMissesNothingThatComesWhileItLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, looks := mountstest.New(), 0
		err := mounts.Await(t.Context(), sys, ignore, func() (bool, error) {
			looks++
			if looks == 1 {
				sys.Send(mountstest.Added("sda"))
			}
			return looks == 2, nil
		})
		if err != nil || looks != 2 {
			t.Errorf("%d looks, %v; want 2", looks, err)
		}
	})
}

func TestAwaitEnds(t *testing.T) {
	tired := errors.New("waited long enough")
	never := func() (bool, error) { return false, nil }
	for _, test := range []struct {
		name    string
		arrange func(*mountstest.Fake)
		look    func() (bool, error)
		want    error
	}{
		{"with the context's cause", func(*mountstest.Fake) {}, never, tired},
		{"with look's error", func(*mountstest.Fake) {}, func() (bool, error) { return false, syscall.EIO }, syscall.EIO},
		{"when it cannot listen", func(f *mountstest.Fake) { f.Fail["Uevents"] = syscall.EPERM }, never, syscall.EPERM},
		{"when listening ends", func(f *mountstest.Fake) { f.Fail["Next"] = syscall.EBADF }, never, syscall.EBADF},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sys := mountstest.New()
				test.arrange(sys)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, tired)
				defer cancel()
				if err := mounts.Await(ctx, sys, ignore, test.look); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if sys.Listeners() != 0 {
					t.Error("it listens still")
				}
			})
		})
	}
}

// A disk's controller may come late too: its driver is loaded by hotplug, and
// only then is there a disk to look at.
func TestAwaitGivesEveryBurstToHotplugBeforeItLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := mountstest.New()
		controller := mounts.Uevent{Action: "add", Subsystem: "pci", Modalias: "pci:v00001AF4"}
		var told []string
		hotplug := func(burst []mounts.Uevent) {
			if burst == nil {
				told = append(told, "events were lost")
			}
			for _, u := range burst {
				told = append(told, u.Action+" "+u.Subsystem)
				if u.Modalias != "" {
					sys.Plug(partition("vda", 3, ""), ext4Head("psyopsOS-A"))
					sys.Send(mountstest.Added("vda3"))
				}
			}
		}
		done := make(chan error, 1)
		go func() { done <- mounts.Await(t.Context(), sys, hotplug, lookFor(sys, layout.SideA)) }()
		synctest.Wait()
		sys.Overflow()
		synctest.Wait()
		sys.Send(controller)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if want := []string{"events were lost", "add pci", "add block"}; !slices.Equal(told, want) {
			t.Errorf("hotplug was told %q, want %q", told, want)
		}
		expectLooks(t, sys, 3, "at once, after the overflow, after the disk")
	})
}
