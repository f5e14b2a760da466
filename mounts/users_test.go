package mounts_test

import (
	"reflect"
	"testing"

	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
)

func TestADiskIsInUseAsLongAsAMountOrALoopHoldsIt(t *testing.T) {
	fake := mountstest.New()
	fake.Plug(mounts.Device{Name: "vda"}, make([]byte, 1024))
	fake.Plug(mounts.Device{Name: "vda3", Disk: "vda", Partition: 3}, make([]byte, 1024))
	fake.Plug(mounts.Device{Name: "vdb"}, make([]byte, 1024))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(fake.Mount(mounts.Mount{Source: "/dev/vda3", Target: "/mnt", Type: "ext4"}))
	_, err := fake.LoopMount(mounts.LoopMount{File: "/mnt/squashfs", Target: "/ro", Type: "squashfs"})
	must(err)

	check := func(disk string, want []string) {
		t.Helper()
		got, err := mounts.UsersOf(fake, disk)
		must(err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("users of %s: got %q, want %q", disk, got, want)
		}
	}
	check("vda", []string{"/dev/vda3 at /mnt", "loop0 with /mnt/squashfs"})
	check("vdb", nil)
	must(fake.Unmount("/ro"))
	check("vda", []string{"/dev/vda3 at /mnt"})
	must(fake.Unmount("/mnt"))
	check("vda", nil)
}
