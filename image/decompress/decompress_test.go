package decompress_test

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"psyopsOS/image/decompress"
)

// What the real tools compress is read, and half of it never looks whole.
func TestStreamsOfTheRealTools(t *testing.T) {
	plain := []byte(strings.Repeat("psyopsOS\n", 20_000))
	for _, tool := range []string{"gzip -c", "zstd -q -c", "zstd -q --long=27 -c", "xz -c", "bzip2 -c", "cat"} {
		t.Run(tool, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", tool)
			cmd.Stdin = bytes.NewReader(plain)
			packed, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", tool, err)
			}
			got, err := readAll(packed)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%d bytes, %v; want %d", len(got), err, len(plain))
			}
			if tool == "cat" {
				return
			}
			if got, err := readAll(packed[:len(packed)-3]); err == nil {
				t.Errorf("a stream without its end gave %d bytes and no error", len(got))
			}
		})
	}
}

func TestXzWithoutTheProgram(t *testing.T) {
	packed, err := exec.Command("sh", "-c", "echo psyopsOS | xz -c").Output()
	if err != nil {
		t.Fatalf("%v: `tk check-deps --install` brings xz", err)
	}
	t.Setenv("PATH", t.TempDir())
	got, err := readAll(packed)
	if err != nil || string(got) != "psyopsOS\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhatIsNotCompressedIsPassedOn(t *testing.T) {
	for _, plain := range []string{"", "B", "plain"} {
		if got, err := readAll([]byte(plain)); err != nil || string(got) != plain {
			t.Errorf("%q became %q, %v", plain, got, err)
		}
	}
}

func readAll(packed []byte) ([]byte, error) {
	r, err := decompress.Reader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// FuzzReader: no stream makes it panic, or take memory without end.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"", "\x1f\x8b", "BZh9", "\x28\xb5\x2f\xfd\x04", "\x50\x2a\x4d\x18\x00\x00\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		if bytes.HasPrefix(packed, []byte("\xfd7zXZ")) {
			return // the program is not ours to fuzz, and starting it is slow
		}
		r, err := decompress.Reader(bytes.NewReader(packed))
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
	})
}
