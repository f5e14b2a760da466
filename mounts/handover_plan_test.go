package mounts_test

import (
	"slices"
	"strings"
	"testing"

	"psyopsOS/mounts"
)

func points(t *testing.T, lines ...string) []mounts.MountPoint {
	t.Helper()
	got, err := mounts.ParseMountInfo(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

const (
	rootfs  = "1 1 0:2 / / rw - rootfs rootfs rw"
	newroot = "50 1 0:50 / /newroot rw - overlay overlay rw"
)

func TestPlanOfMoves(t *testing.T) {
	for _, test := range []struct {
		name          string
		lines         []string
		moves, hidden []string
		shared, keep  bool
	}{
		{name: "nothing but the new root", lines: []string{rootfs, newroot}},
		{name: "a real boot, where what is mounted below goes along",
			lines: []string{rootfs, "20 1 0:20 / /proc rw - proc proc rw", "21 1 0:21 / /sys rw - sysfs sysfs rw", "22 1 0:5 / /dev rw - devtmpfs dev rw",
				"23 22 0:23 / /dev/pts rw - devpts devpts rw", "24 1 0:24 / /run rw - tmpfs run rw", "25 1 0:25 / /media/psyopsOS rw - tmpfs ram rw",
				"26 1 7:0 / /media/root-ro ro - squashfs /dev/loop0 ro", "27 1 0:27 / /media/root-rw rw - tmpfs rw rw", newroot,
				"51 50 7:1 / /newroot/.modloop ro - squashfs /dev/loop1 ro"},
			moves: []string{"/proc /newroot/proc", "/sys /newroot/sys", "/dev /newroot/dev", "/run /newroot/run", "/media/psyopsOS /newroot/media/psyopsOS",
				"/media/root-ro /newroot/media/root-ro", "/media/root-rw /newroot/media/root-rw"}},
		{name: "a name that only begins like the new root's", lines: []string{rootfs, newroot, "30 1 0:30 / /newroot2 rw - tmpfs x rw"},
			moves: []string{"/newroot2 /newroot/newroot2"}},
		{name: "one mount over another: the upper one is what the path leads to",
			lines:  []string{rootfs, "22 1 0:5 / /dev rw - devtmpfs dev rw", "23 22 0:23 / /dev/pts rw - devpts devpts rw", "24 22 0:24 / /dev rw - tmpfs dev rw", newroot},
			hidden: []string{"/dev"}, moves: []string{"/dev /newroot/dev"}},
		{name: "a mount whose folder another hides",
			lines:  []string{rootfs, "22 1 0:22 / /media/ram rw - tmpfs ram rw", "23 1 0:23 / /media rw - tmpfs media rw", newroot},
			hidden: []string{"/media/ram"}, moves: []string{"/media /newroot/media"}},
		{name: "shared mounts", lines: []string{rootfs, "20 1 0:20 / /proc rw shared:3 - proc proc rw", newroot},
			moves: []string{"/proc /newroot/proc"}, shared: true},
		{name: "a folder of the initramfs, bound into the new root", lines: []string{rootfs, newroot, "60 50 0:2 /etc/keys /newroot/keys rw - rootfs rootfs rw"}, keep: true},
		{name: "a root without parent in the table", lines: []string{"1 0 0:2 / / rw - rootfs rootfs rw", newroot, "20 1 0:20 / /proc rw - proc proc rw"},
			moves: []string{"/proc /newroot/proc"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			moves, hidden, shared, keep, err := mounts.PlanMoves(points(t, test.lines...), "/newroot")
			if err != nil || !slices.Equal(moves, test.moves) || !slices.Equal(hidden, test.hidden) || shared != test.shared || keep != test.keep {
				t.Errorf("got  %q, hidden %q, shared %v, keep %v, %v\nwant %q, %q, %v, %v", moves, hidden, shared, keep, err,
					test.moves, test.hidden, test.shared, test.keep)
			}
		})
	}
}

func TestPlanOfMovesRefuses(t *testing.T) {
	for _, test := range []struct {
		name, newRoot string
		lines         []string
		want          string
	}{
		{"a root on a disk", "/newroot", []string{"1 1 254:1 / / rw - ext4 /dev/vda1 rw", newroot}, "the root is a ext4 and no initramfs"},
		{"a new root that is not mounted", "/newroot", []string{rootfs}, "nothing is mounted at /newroot"},
		{"the root itself", "/", []string{rootfs}, "the new root is the old one"},
		{"a relative path", "newroot", []string{rootfs, newroot}, `the new root "newroot" is no clean absolute path`},
		{"an unclean path", "/newroot/", []string{rootfs, newroot}, `the new root "/newroot/" is no clean absolute path`},
		{"something over the root", "/newroot", []string{rootfs, "9 1 0:9 / / rw - tmpfs x rw", newroot}, "2 mounts lie over each other at /"},
		{"something over the new root", "/newroot", []string{rootfs, newroot, "9 50 0:9 / /newroot rw - tmpfs x rw"}, "2 mounts lie over each other at /newroot"},
		{"a new root inside another mount", "/run/newroot", []string{rootfs, "9 1 0:9 / /run rw - tmpfs x rw", "50 9 0:50 / /run/newroot rw - overlay o rw"},
			"the new root /run/newroot lies in another mount: that one could not be moved into it"},
		{"an empty table", "/newroot", nil, "nothing is mounted at /"},
	} {
		t.Run(test.name, func(t *testing.T) {
			moves, _, _, _, err := mounts.PlanMoves(points(t, test.lines...), test.newRoot)
			if err == nil || err.Error() != test.want || moves != nil {
				t.Errorf("got %q, %v\nwant %s", moves, err, test.want)
			}
		})
	}
}
