package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

func ext4(t *testing.T, label string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "volume")
	o := disk.Ext4Options{Label: label, SizeBytes: smallestVolume, UUID: disk.DerivedGUID("a", "b"), HashSeed: disk.DerivedGUID("a", "c"), Time: time.Unix(1e9, 0)}
	if err := disk.Ext4(context.Background(), name, o, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOnlyADeviceForASecretVolumeIsOverwritten(t *testing.T) {
	other := ext4(t, "home")
	zeroes := make([]byte, smallestVolume)
	dirty := bytes.Clone(zeroes)
	dirty[1<<20-1] = 1
	for name, tt := range map[string]struct {
		content []byte
		size    int64
		want    string
	}{
		"a psyops-secret volume":         {ext4(t, string(layout.Secret)), smallestVolume, ""},
		"zeroes":                         {zeroes, smallestVolume, ""},
		"the largest":                    {zeroes, largestVolume, ""},
		"another filesystem":             {other, smallestVolume, `holds ext4 labelled "home"`},
		"something unknown":              {dirty, smallestVolume, "does not begin with zeroes"},
		"too small":                      {zeroes, smallestVolume - 1, "a psyops-secret volume has between 12.0 MiB and 8.00 GiB"},
		"a whole disk":                   {zeroes, largestVolume + 512, "a psyops-secret volume has between"},
		"a device that cannot be read":   {zeroes[:4096], smallestVolume, "read /dev/x"},
		"a device of nothing whatsoever": {nil, 0, "has 0 B"},
	} {
		err := mayOverwrite("/dev/x", bytes.NewReader(tt.content), tt.size)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestAVolumeIsReadBackAfterItWasWritten(t *testing.T) {
	dir := t.TempDir()
	image, device := filepath.Join(dir, "image"), filepath.Join(dir, "device")
	content := bytes.Repeat([]byte("psyopsOS"), 300_000)
	if err := errors.Join(os.WriteFile(image, content, 0o600), os.WriteFile(device, make([]byte, len(content)+4096), 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeVolume(f, image); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(device); err != nil || !bytes.Equal(got[:len(content)], content) {
		t.Errorf("the device has other bytes, %v", err)
	}
	from, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := f.WriteAt([]byte{'X'}, 2_000_000); err != nil {
		t.Fatal(err)
	}
	if err := sameBytes(f, from); err == nil || !strings.Contains(err.Error(), "other bytes than were written") {
		t.Errorf("a byte that flipped: got %v", err)
	}
}
