package upgrade

import (
	"bytes"
	"errors"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/mounts"
)

// Issue 4, tests: `kill -9` leaves the side mounted, and the next run has to
// go on all the same.
func TestAMountThatAKilledProcessHasLeftIsNoObstacle(t *testing.T) {
	w := newWorld(t)
	second := makeBundle(t, v2)
	w.publish(second)
	left := mounts.Mount{Source: "/dev/vda4", Target: w.root + layout.MountSideB, Type: "ext4",
		Flags: mounts.NoDev | mounts.NoSUID | mounts.NoExec | mounts.NoATime}
	for range 2 {
		if err := w.fake.Mount(left); err != nil {
			t.Fatal(err)
		}
	}
	w.applies()
	w.holds(layout.SideB, second)
	if points, _ := w.fake.Mounts(); len(points) != 1 {
		t.Errorf("mounts stay: %v", points)
	}
}

func TestAMountOfSomebodyElseStays(t *testing.T) {
	for _, m := range []mounts.Mount{
		{Source: "/dev/vda4", Target: layout.MountSideB, Type: "ext4", Flags: mounts.ReadOnly},
		{Source: "/dev/vda4", Target: "/mnt", Type: "ext4", Flags: mounts.NoDev | mounts.NoSUID | mounts.NoExec},
	} {
		w := newWorld(t)
		w.publish(makeBundle(t, v2))
		m.Target = w.root + m.Target
		if err := w.fake.Mount(m); err != nil {
			t.Fatal(err)
		}
		_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo)
		has(t, stderr, "psyopsOS-B is in use: mounted at "+m.Target)
		if !w.fake.Mounted(m.Target) {
			t.Errorf("%s was unmounted", m.Target)
		}
	}
}

// A power cut in the middle of an apply: the side cannot be read without its
// journal, but it can be written.
func TestASideThatNeedsItsJournalIsWrittenAnew(t *testing.T) {
	w := newWorld(t)
	second := makeBundle(t, v2)
	w.publish(second)
	image := readFile(t, w.images["/dev/vda4"])
	const incompat, recover = 1024 + 0x60, 4
	dirty := bytes.Clone(image)
	dirty[incompat] |= recover
	w.fake.Unplug("vda4")
	device := mounts.Device{Name: "vda4", Disk: "vda", Partition: 4, PartUUID: "part4", DiskUUID: "disk"}
	w.fake.Plug(device, dirty)
	w.fake.OnMount = func(m mounts.Mount) error {
		if m.Source != "/dev/vda4" {
			return nil
		}
		if m.Flags&mounts.ReadOnly == 0 && !bytes.Equal(dirty, image) {
			copy(dirty, image) // the journal is replayed
		} else if !bytes.Equal(dirty, image) {
			return errors.New("structure needs cleaning")
		}
		return nil
	}
	out, _ := w.must(0, "show")
	has(t, out, "its journal is not written back: ", "structure needs cleaning")
	w.applies()
	w.holds(layout.SideB, second)
}
