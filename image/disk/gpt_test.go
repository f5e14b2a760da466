package disk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func testDisk(t *testing.T) Disk {
	part := func(n int, label, kind string, mib int64, content string) Partition {
		return Partition{n, label, kind, DerivedGUID("1", label), mib * mebibyte, content}
	}
	return Disk{DerivedGUID("1", "disk"), []Partition{
		part(1, "PSYOPSOSEFI", TypeEFISystem, 34, makeFAT(t, 34*mebibyte, espFiles())),
		part(3, "psyopsOS-A", TypeLinux, 30, makeExt4(t, 24*mebibyte, sideFiles(t))),
		part(2, "psyops-secret", TypeLinux, 5, ""),
	}}
}

func makeImage(t *testing.T, d Disk) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	if err := Image(always, name, d, nil); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheTableIsCleanAndSaysWhatWasAskedFor(t *testing.T) {
	d := testDisk(t)
	image := makeImage(t, d)
	if out := judge(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	out := judge(t, "sgdisk", "-p", image)
	for _, want := range []string{
		"Disk identifier (GUID): " + strings.ToUpper(d.GUID),
		`1 +2048 +71679 .* EF00 +PSYOPSOSEFI`, `2 +133120 +143359 .* 8300 +psyops-secret`, `3 +71680 +133119 .* 8300 +psyopsOS-A`,
	} {
		if ok := regexp.MustCompile(strings.ReplaceAll(strings.ReplaceAll(want, "(", `\(`), ")", `\)`)).MatchString(out); !ok {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if out := judge(t, "sgdisk", "-i", "3", image); !strings.Contains(out, strings.ToUpper(DerivedGUID("1", "psyopsOS-A"))) {
		t.Errorf("partition 3's GUID is not in %s", out)
	}
}

func TestPartitionsHoldTheirContentsAndTheImageIsSparse(t *testing.T) {
	d := testDisk(t)
	image := makeImage(t, d)
	got, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(mebibyte)
	for _, p := range d.Partitions {
		want := make([]byte, p.SizeBytes)
		if p.Content != "" {
			content, err := os.ReadFile(p.Content)
			if err != nil {
				t.Fatal(err)
			}
			copy(want, content)
		}
		if !bytes.Equal(got[at:at+p.SizeBytes], want) {
			t.Errorf("partition %d differs from its content", p.Number)
		}
		at += p.SizeBytes
	}
	var st syscall.Stat_t
	if err := syscall.Stat(image, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != d.Size() || st.Blocks*512 > 8*mebibyte {
		t.Errorf("image has %d bytes, want %d, and takes %d on disk, want at most 8 MiB", st.Size, d.Size(), st.Blocks*512)
	}
}

func TestProgressGoesUpToTheTotal(t *testing.T) {
	var told []int64
	err := Image(always, filepath.Join(t.TempDir(), "x"), testDisk(t), func(done, total int64) {
		if total != 58*mebibyte || done > total || (len(told) > 0 && done < told[len(told)-1]) {
			t.Errorf("told %d of %d after %v", done, total, told)
		}
		told = append(told, done)
	})
	if err != nil || len(told) < 3 || told[len(told)-1] != 58*mebibyte {
		t.Errorf("got %v, %v, want some steps up to 58 MiB", told, err)
	}
}

func TestACancelledContextEndsTheCopy(t *testing.T) {
	reason := errors.New("second Ctrl-C")
	ctx, cancel := context.WithCancelCause(always)
	cancel(reason)
	if err := Image(ctx, filepath.Join(t.TempDir(), "x"), testDisk(t), nil); !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
}

func TestImageRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*Disk)
		want  string
	}{
		{"a content larger than its partition", func(d *Disk) { d.Partitions[0].SizeBytes = 33 * mebibyte }, "has 33.0 MiB"},
		{"a size that is not whole MiB", func(d *Disk) { d.Partitions[0].SizeBytes++ }, "whole MiB"},
		{"the same GUID twice", func(d *Disk) { d.Partitions[0].PartGUID = strings.ToUpper(d.Partitions[1].PartGUID) }, "too"},
		{"the same number twice", func(d *Disk) { d.Partitions[0].Number = 3 }, "each once"},
		{"no disk GUID", func(d *Disk) { d.GUID = "" }, "disk GUID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := testDisk(t)
			tt.spoil(&d)
			err := Image(always, filepath.Join(t.TempDir(), "x"), d, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRegenerateChangesEveryGUIDAndNothingElse(t *testing.T) {
	d := testDisk(t)
	image := makeImage(t, d)
	before, _ := os.ReadFile(image)
	oldGUIDs := guids(t, image)
	// A medium larger than the image: the copy of the table must move.
	if err := os.Truncate(image, d.Size()+3*mebibyte); err != nil {
		t.Fatal(err)
	}
	if err := Regenerate(image, bytes.NewReader(slices.Concat(noise(5, 32), noise(7, 32)))); err != nil {
		t.Fatal(err)
	}
	if out := judge(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	after, _ := os.ReadFile(image)
	if !bytes.Equal(before[mebibyte:d.Size()-mebibyte], after[mebibyte:d.Size()-mebibyte]) {
		t.Error("the partitions' contents changed")
	}
	newGUIDs := guids(t, image)
	seen := map[string]bool{}
	for i := range newGUIDs {
		if newGUIDs[i] == oldGUIDs[i] || seen[newGUIDs[i]] {
			t.Errorf("GUID %d is %s, was %s", i, newGUIDs[i], oldGUIDs[i])
		}
		seen[newGUIDs[i]] = true
	}
	if err := Regenerate(image, bytes.NewReader(nil)); err == nil {
		t.Error("no error without random bytes")
	}
	if got := guids(t, image); !reflect.DeepEqual(got, newGUIDs) {
		t.Error("a failed Regenerate changed GUIDs")
	}
}

// guids lists the disk's GUID and those of partitions 1 to 3.
func guids(t *testing.T, image string) []string {
	t.Helper()
	out := judge(t, "sgdisk", "-p", "-i", "1", "-i", "2", "-i", "3", image)
	list := regexp.MustCompile(`(?:Disk identifier \(GUID\)|unique GUID): ([0-9A-F-]{36})`).FindAllStringSubmatch(out, -1)
	if len(list) != 4 {
		t.Fatalf("want 4 GUIDs in %s", out)
	}
	var all []string
	for _, m := range list {
		all = append(all, m[1])
	}
	return all
}

func TestDerivedGUIDsFollowFromSeedAndName(t *testing.T) {
	a := DerivedGUID("20261121-101500", "disk")
	if a != DerivedGUID("20261121-101500", "disk") || a == DerivedGUID("20261121-101501", "disk") || a == DerivedGUID("20261121-101500", "psyopsOS-A") {
		t.Errorf("%s does not follow from seed and name", a)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(a) {
		t.Errorf("%s is no UUID of version 8", a)
	}
}
