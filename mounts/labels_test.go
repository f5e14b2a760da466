package mounts_test

import (
	"errors"
	"reflect"
	"syscall"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
	"psyopsOS/step"
)

// ext4Head is the smallest content in which Probe sees an ext4 of that label.
func ext4Head(label string) []byte {
	head := make([]byte, 2048)
	head[1024+0x38], head[1024+0x39] = 0x53, 0xEF
	head[1024+0x60] = 0x40 // extents
	copy(head[1024+0x78:], label)
	return head
}

func partition(disk string, number int, partUUID string) mounts.Device {
	return mounts.Device{Name: disk + string(rune('0'+number)), Disk: disk, Partition: number, PartUUID: partUUID}
}

func TestFindLabels(t *testing.T) {
	sys := mountstest.New()
	sys.Plug(mounts.Device{Name: "loop0"}, ext4Head("in-a-loop"))
	sys.Plug(mounts.Device{Name: "ram0"}, ext4Head("in-ram"))
	sys.Plug(mounts.Device{Name: "zram0"}, ext4Head("in-zram"))
	sys.Plug(mounts.Device{Name: "nbd0"}, nil)
	sys.Plug(mounts.Device{Name: "sda"}, ext4Head("psyops-secret"))
	sys.PlugBroken(mounts.Device{Name: "sr0", Size: 2048}, syscall.ENOMEDIUM)
	sys.Plug(mounts.Device{Name: "vda"}, ext4Head("stale, under the partitions"))
	sys.Plug(partition("vda", 1, ""), ext4Head("psyopsOS-A"))
	sys.Plug(partition("vda", 2, ""), make([]byte, 4096))

	volumes, err := mounts.FindLabels(sys)
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		name, label string
		err         error
	}
	var got []seen
	for _, v := range volumes {
		cause := v.Err
		if errors.Is(cause, syscall.ENOMEDIUM) {
			cause = syscall.ENOMEDIUM
		}
		got = append(got, seen{v.Name, v.Label, cause})
	}
	want := []seen{{"sda", "psyops-secret", nil}, {"sr0", "", syscall.ENOMEDIUM}, {"vda1", "psyopsOS-A", nil}, {"vda2", "", mounts.ErrUnknown}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestFindLabelsTellsThatTheListIsMissing(t *testing.T) {
	sys := mountstest.New()
	sys.Fail["Devices"] = syscall.EACCES
	if got, err := mounts.FindLabels(sys); !errors.Is(err, syscall.EACCES) {
		t.Errorf("got %v, %v; want EACCES", got, err)
	}
}

func volume(disk string, number int, partUUID, label string) mounts.Volume {
	d := mounts.Device{Name: disk, Disk: disk}
	if number != 0 {
		d = partition(disk, number, partUUID)
	}
	return mounts.Volume{Device: d, Filesystem: mounts.Filesystem{Type: "ext4", Label: label}}
}

func TestChoose(t *testing.T) {
	foreign, booted := volume("sda", 3, "f3", "psyopsOS-A"), volume("sdb", 3, "b3", "psyopsOS-A")
	secret, bare := volume("sda", 2, "f2", "psyops-secret"), volume("sdc", 0, "", "psyops-secret")
	twin := volume("sdb", 2, "b2", "psyopsOS-A")
	unread := volume("sdd", 1, "", "psyopsOS-A")
	for _, test := range []struct {
		name       string
		volumes    []mounts.Volume
		label      layout.Label
		booted     string
		want       mounts.Volume
		duplicates []mounts.Volume
	}{
		{"the only one", []mounts.Volume{secret, foreign}, layout.SideA, "", foreign, nil},
		{"the booted disk's, though the foreign one was seen first", []mounts.Volume{foreign, booted}, layout.SideA, "b3", booted, []mounts.Volume{foreign}},
		{"the PARTUUID in capitals", []mounts.Volume{foreign, booted}, layout.SideA, "B3", booted, []mounts.Volume{foreign}},
		{"the booted partition, before another on the same disk", []mounts.Volume{foreign, twin, booted}, layout.SideA, "b3", booted, []mounts.Volume{twin, foreign}},
		{"the first, where nobody knows the booted disk", []mounts.Volume{foreign, booted}, layout.SideA, "", foreign, []mounts.Volume{booted}},
		{"the first, where the booted disk is not there", []mounts.Volume{foreign, booted}, layout.SideA, "x", foreign, []mounts.Volume{booted}},
		{"another disk's secret, where the booted disk has none", []mounts.Volume{secret, booted}, layout.Secret, "b3", secret, nil},
		{"a bare disk", []mounts.Volume{booted, bare}, layout.Secret, "b3", bare, nil},
		{"one whose PARTUUID could not be read", []mounts.Volume{secret, unread}, layout.SideA, "b3", unread, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, duplicates, err := mounts.Choose(test.volumes, test.label, test.booted)
			if err != nil || got != test.want || len(duplicates) != len(test.duplicates) ||
				len(duplicates) > 0 && !reflect.DeepEqual(duplicates, test.duplicates) {
				t.Errorf("got %v, duplicates %v, %v\nwant %v, %v", got, duplicates, err, test.want, test.duplicates)
			}
		})
	}
}

func TestChooseLeavesTheListAsItIs(t *testing.T) {
	list := []mounts.Volume{volume("sda", 3, "f3", "psyopsOS-A"), volume("sdb", 3, "b3", "psyopsOS-A")}
	if _, _, err := mounts.Choose(list, layout.SideA, "b3"); err != nil || list[0].Name != "sda3" {
		t.Errorf("the list begins with %s now (%v)", list[0].Name, err)
	}
}

func TestBootedDisk(t *testing.T) {
	volumes := []mounts.Volume{volume("sda", 0, "", "x"), volume("sdb", 3, "b3", "psyopsOS-A")}
	if disk, ok := mounts.BootedDisk(volumes, "B3"); disk != "sdb" || !ok {
		t.Errorf("got %q, %v; want sdb", disk, ok)
	}
	if disk, ok := mounts.BootedDisk(volumes, ""); ok {
		t.Errorf("nothing booted: got %q", disk)
	}
}

func TestLabelErrorTells(t *testing.T) {
	unknown := mounts.Volume{Device: partition("vdb", 1, ""), Err: mounts.ErrUnknown}
	broken := mounts.Volume{Device: partition("vdc", 1, ""), Err: syscall.EIO}
	for _, test := range []struct {
		name       string
		err        *mounts.LabelError
		text, hint string
	}{
		{"what was seen", &mounts.LabelError{Wanted: layout.SideA, Waited: 10 * time.Second, Seen: []mounts.Volume{
			volume("vda", 1, "", "PSYOPSOSEFI"), volume("vda", 2, "", "psyops-secret"), volume("vda", 3, "", ""), unknown, broken}},
			"no volume labelled psyopsOS-A after 10s; saw PSYOPSOSEFI (vda1), psyops-secret (vda2), ext4 without label (vda3), unreadable vdc1 (input/output error)",
			"choose psyopsOS-B in the GRUB menu; if the disk is slow try psyopsos.wait=60"},
		{"the other side", &mounts.LabelError{Wanted: layout.SideA, Waited: 30 * time.Second, Seen: []mounts.Volume{volume("vda", 4, "", "psyopsOS-B")}},
			"no volume labelled psyopsOS-A after 30s; saw psyopsOS-B (vda4)",
			"choose psyopsOS-B in the GRUB menu, and run `neuralupgrade apply a` from there"},
		{"no disk", &mounts.LabelError{Wanted: layout.SideB},
			"no volume labelled psyopsOS-B; saw no disk at all",
			"the driver of the disk may be missing: try modules=DRIVER; or the disk is slow: try psyopsos.wait=60"},
		{"only what nobody knows", &mounts.LabelError{Wanted: layout.Secret, Seen: []mounts.Volume{unknown}},
			"no volume labelled psyops-secret; nothing known on vdb1",
			"make the volume with `tk node`, or attach the disk that holds it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.err.Error(); got != test.text {
				t.Errorf("got  %s\nwant %s", got, test.text)
			}
			if got := step.HintOf(test.err); got != test.hint {
				t.Errorf("hint: got  %s\nwant %s", got, test.hint)
			}
		})
	}
}

func TestChooseGivesALabelErrorWithWhatItSaw(t *testing.T) {
	unreadable := volume("vdb", 1, "", "psyopsOS-A")
	unreadable.Err = syscall.EIO
	seen := []mounts.Volume{volume("vda", 1, "", "PSYOPSOSEFI"), unreadable}
	_, _, err := mounts.Choose(seen, layout.SideA, "")
	var missing *mounts.LabelError
	if !errors.As(err, &missing) || missing.Wanted != layout.SideA || !reflect.DeepEqual(missing.Seen, seen) {
		t.Errorf("got %v", err)
	}
}

func TestDuplicateErrorNamesTheDevices(t *testing.T) {
	err := &mounts.DuplicateError{Label: layout.SideA, Chosen: volume("sdb", 3, "", ""), Duplicates: []mounts.Volume{volume("sda", 3, "", ""), volume("sdc", 3, "", "")}}
	if got, want := err.Error(), "the label psyopsOS-A is also on sda3, sdc3; using sdb3"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
