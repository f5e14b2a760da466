package bootstate

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestLongNamesOfTheRootAreRead(t *testing.T) {
	large := strings.Repeat("signature ", 700) // several clusters
	for bits, size := range map[string]string{"12": "1440", "16": "16384", "32": "65536"} {
		img := image(t, bits, size, "a", "1", "psyopsESP.tar.minisig", large, "psyopsESP.tar.minisig.0123456789ABCDEF", "second",
			"manifest.json", "{}", "grub/STATE1.ENV", "x", "a name that takes three pieces of a directory.txt", "3")
		f, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := ReadRoot(f, 8<<10, func(name string) bool { return name != "manifest.json" })
		want := map[string]string{"A": "1", "psyopsESP.tar.minisig": large, "psyopsESP.tar.minisig.0123456789ABCDEF": "second",
			"a name that takes three pieces of a directory.txt": "3"}
		if a, ok := got["a"]; ok { // mtools may write a long name for it
			got["A"] = a
			delete(got, "a")
		}
		if err != nil || len(got) != len(want) {
			t.Errorf("FAT%s: got %q, %v", bits, got, err)
		}
		for name, content := range want {
			if string(got[name]) != content {
				t.Errorf("FAT%s: %s: got %d bytes, want %d", bits, name, len(got[name]), len(content))
			}
		}
		if _, err := ReadRoot(f, 100, func(string) bool { return true }); err == nil || !strings.Contains(err.Error(), "at most 100") {
			t.Errorf("FAT%s: a file beyond the limit: %v", bits, err)
		}
	}
}

func FuzzFATRoot(f *testing.F) {
	for _, bits := range []int{12, 16, 32} {
		f.Add(tinyFAT(bits))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := ReadRoot(bytes.NewReader(data), 4096, func(string) bool { return true })
		for name, content := range files {
			if err == nil && len(content) > 4096 {
				t.Fatalf("%q has %d bytes", name, len(content))
			}
		}
	})
}
