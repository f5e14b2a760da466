package disk

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestFATIsCleanAndGivesTheFilesBack(t *testing.T) {
	for _, size := range []int64{34 * mebibyte, 64 * mebibyte, 300 * mebibyte} {
		image := makeFAT(t, size, espFiles())
		if out := judge(t, "fsck.fat", "-n", "-v", image); !strings.Contains(out, "32 bit entries") || strings.Contains(out, "Free cluster summary wrong") {
			t.Errorf("%d bytes: fsck.fat: %s", size, out)
		}
		for _, f := range espFiles() {
			if got := judge(t, "mtype", "-i", image, "::"+f.Path); got != string(f.Data) {
				t.Errorf("%d bytes: %s: got %d bytes, want %d", size, f.Path, len(got), len(f.Data))
			}
		}
		if out := judge(t, "mdir", "-a", "-i", image, "::"); !strings.Contains(out, "PSYOPSESP2") || !strings.Contains(out, "1234-ABCD") {
			t.Errorf("%d bytes: label or volume ID missing in %s", size, out)
		}
	}
}

func TestEveryStateFileStandsAloneInAnAligned4KiB(t *testing.T) {
	for _, o := range []FATOptions{{SizeBytes: 64 * mebibyte}, {SizeBytes: 128 * mebibyte}, {SizeBytes: 300 * mebibyte}, {SizeBytes: 300 * mebibyte, ClusterSize: 2048}} {
		o.Label = "PSYOPSOSEFI"
		image := filepath.Join(t.TempDir(), "esp.img")
		if err := FAT(always, image, o, espFiles(), testTime); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			want := append(noise(byte(i), 512), make([]byte, block-512)...)
			at := bytes.Index(data, want)
			if at < 0 || at%block != 0 {
				t.Errorf("%+v: state file %d stands at %d, want a multiple of %d with zeroes behind it", o, i, at, block)
				continue
			}
			for c := int64(at); c < int64(at)+block; c += sector {
				if entry := tableEntry(t, data, c); entry == 0 {
					t.Errorf("%+v: state file %d: byte %d of its block is free for others", o, i, c-int64(at))
				}
			}
		}
	}
}

// tableEntry is what the allocation table has for the cluster at byte offset.
func tableEntry(t *testing.T, image []byte, offset int64) uint32 {
	t.Helper()
	le := binary.LittleEndian
	reserved, tables, length := int64(le.Uint16(image[14:])), int64(image[16]), int64(le.Uint32(image[36:]))
	cluster := (offset-(reserved+tables*length)*sector)/(int64(image[13])*sector) + 2
	return le.Uint32(image[reserved*sector+cluster*4:])
}

func TestFilesLieInTheOrderOfTheListWithoutGaps(t *testing.T) {
	for _, size := range []int64{64 * mebibyte, 300 * mebibyte} {
		image := makeFAT(t, size, espFiles())
		f := fat{tools{testTime}, fatOptions(size), image}
		var names []string
		for _, file := range espFiles()[:35] {
			if len(file.Data) > 0 {
				names = append(names, file.Path)
			}
		}
		extents, err := f.extents(always, names)
		if err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for i, e := range extents {
			if len(e) != 1 || e[0].first <= last || (last > 0 && e[0].first > last+8) {
				t.Errorf("%d bytes: %s lies on %v after %d", size, names[i], e, last)
			}
			last = e[len(e)-1].last
		}
	}
}

func TestFATTimesAreTheGivenOnes(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	for _, tt := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"a time is told in UTC", time.Date(2026, 11, 21, 20, 15, 0, 0, time.FixedZone("", 36000)), "2026-11-21  10:15"},
		{"a time before 1980 becomes 1980", time.Unix(0, 0), "1980-01-01   0:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "esp.img")
			if err := FAT(always, image, fatOptions(40*mebibyte), espFiles()[:3], tt.at); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{"::", "::EFI", "::EFI/BOOT", "::grub"} {
				out := judge(t, "mdir", "-a", "-i", image, dir)
				for _, got := range regexp.MustCompile(`\d{4}-\d\d-\d\d +\d+:\d\d`).FindAllString(out, -1) {
					if got != tt.want {
						t.Errorf("%s: got %q, want %q", dir, got, tt.want)
					}
				}
			}
		})
	}
}

func TestClustersAreAsLargeAsFAT32Allows(t *testing.T) {
	for mib, want := range map[int64]int64{32: 0, 33: 512, 64: 512, 128: 1024, 256: 2048, 257: 4096, 300: 4096, 4096: 4096} {
		got, err := FAT32ClusterSize(mib * mebibyte)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%d MiB: got %d, %v, want %d", mib, got, err, want)
		}
	}
}

func TestFATRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []File
		want  string
	}{
		{"two names that differ in case only", []File{{Path: "a", Data: []byte{1}}, {Path: "A", Data: []byte{1}}}, "there already"},
		{"a name that a filler could take", []File{{Path: "FILL00.PAD", Data: []byte{1}}, {Path: "s", Data: []byte{1}, Alone: true}}, "there already"},
		{"a path that climbs", []File{{Path: "../a"}}, "not a path"},
		{"a name with a blank", []File{{Path: "a b"}}, "other characters"},
		{"a name that looks like an option", []File{{Path: "-a"}}, "other characters"},
		{"a source that is not there", []File{{Path: "a", Source: "/does/not/exist"}}, "no such file"},
		{"more than fits", []File{{Path: "a", Data: make([]byte, 65*mebibyte)}}, "full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := FAT(always, filepath.Join(t.TempDir(), "x"), fatOptions(64*mebibyte), tt.files, testTime)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestMshowfatLinesAreRead(t *testing.T) {
	for line, want := range map[string][]extent{
		"::a <3>":                          {{3, 3}},
		"::a <6-7> <9>":                    {{6, 7}, {9, 9}},
		"::a Root directory or empty file": nil,
	} {
		if got, err := parseExtents(line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v, want %v", line, got, err, want)
		}
	}
	for _, line := range []string{"::a <x>", "::a <7-6>", "::a <>"} {
		if got, err := parseExtents(line); err == nil {
			t.Errorf("%q: got %v, want an error", line, got)
		}
	}
}

func FuzzParseExtents(f *testing.F) {
	f.Add("::grub/STATE1.ENV <6-7> <9>")
	f.Add("::a <-1>")
	f.Fuzz(func(t *testing.T, line string) {
		list, err := parseExtents(line)
		for _, e := range list {
			if err == nil && (e.first < 0 || e.last < e.first) {
				t.Errorf("%q gave %v", line, e)
			}
		}
	})
}
