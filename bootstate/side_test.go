package bootstate

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func goodSide() (fstest.MapFS, BootSum) {
	sum := BootSum{sha256.Sum256([]byte("kernel!")), sha256.Sum256([]byte("initramfs!"))}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{"kernel": file("kernel!"), "initramfs": file("initramfs!"), "BOOT.SUM": file(string(sum.Render())),
		"manifest.json": file("{}"), "psyopsOS.tar.minisig": file("x")}, sum
}

func TestASideIsLoadedOnlyWhenItIsWhole(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(fstest.MapFS)
		err   string
	}{
		{"whole", func(fstest.MapFS) {}, ""},
		{"without signature", func(s fstest.MapFS) { delete(s, "psyopsOS.tar.minisig") }, "not complete: no psyopsOS.tar.minisig"},
		{"without BOOT.SUM", func(s fstest.MapFS) { delete(s, "BOOT.SUM") }, "not complete: open BOOT.SUM"},
		{"with an empty BOOT.SUM", func(s fstest.MapFS) { s["BOOT.SUM"].Data = nil }, "not complete: BOOT.SUM names 0 files"},
		{"with half a BOOT.SUM", func(s fstest.MapFS) { s["BOOT.SUM"].Data = s["BOOT.SUM"].Data[:73] }, "not complete: BOOT.SUM names 1 files"},
		{"with a cut BOOT.SUM", func(s fstest.MapFS) { s["BOOT.SUM"].Data = s["BOOT.SUM"].Data[:100] }, "not complete: BOOT.SUM: line"},
		{"with a BOOT.SUM of something else", func(s fstest.MapFS) {
			s["BOOT.SUM"].Data = []byte(strings.Replace(string(s["BOOT.SUM"].Data), "kernel", "config", 1))
		}, "not complete: BOOT.SUM: line"},
		{"with another kernel", func(s fstest.MapFS) { s["kernel"].Data = []byte("kernel?") }, "damaged: kernel is not what BOOT.SUM says"},
		{"without initramfs", func(s fstest.MapFS) { delete(s, "initramfs") }, "damaged: open initramfs"},
		{"of the first psyopsOS", func(s fstest.MapFS) { delete(s, "BOOT.SUM"); delete(s, "manifest.json") }, ErrUnchecked.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			side, _ := goodSide()
			test.spoil(side)
			got := ""
			if err := CheckSide(side); err != nil {
				got = err.Error()
			}
			if got != test.err && (test.err == "" || !strings.HasPrefix(got, test.err)) {
				t.Errorf("got %q, want %q", got, test.err)
			}
		})
	}
	if err := CheckSide(fstest.MapFS{"psyopsOS.tar.minisig": {}}); !errors.Is(err, ErrUnchecked) {
		t.Errorf("a side of the first psyopsOS: got %v", err)
	}
}

func FuzzBootSum(f *testing.F) {
	_, sum := goodSide()
	f.Add(sum.Render())
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBootSum(data)
		if err != nil {
			return
		}
		if again, err := ParseBootSum(b.Render()); err != nil || again != b {
			t.Fatalf("%q: read again %v, %v", data, again, err)
		}
	})
}
