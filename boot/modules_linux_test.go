package boot

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func TestPackedModulesAreUnpacked(t *testing.T) {
	image := bytes.Repeat([]byte("\x7fELF module "), 10_000)
	for extension, writer := range map[string]func(io.Writer) (io.WriteCloser, error){
		".gz":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		".xz":  func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		".zst": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	} {
		t.Run(extension, func(t *testing.T) {
			var packed bytes.Buffer
			w, err := writer(&packed)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(image); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := unpackModule(bytes.NewReader(packed.Bytes()), extension)
			if err != nil || !bytes.Equal(got, image) {
				t.Errorf("got %d bytes, %v; want %d", len(got), err, len(image))
			}
			half := packed.Bytes()[:packed.Len()/2]
			if _, err := unpackModule(bytes.NewReader(half), extension); err == nil || !strings.Contains(err.Error(), "unpack "+extension) {
				t.Errorf("got %v of half a file, want an error that names the packing", err)
			}
		})
	}
	if _, err := unpackModule(strings.NewReader(""), ".lz4"); err == nil {
		t.Error("got no error of an unknown packing")
	}
}

func TestModuleNames(t *testing.T) {
	for path, want := range map[string]string{
		"kernel/drivers/usb/storage/usb-storage.ko.xz": "usb_storage",
		"extra/a.ko": "a",
		"snd-hda":    "snd_hda",
		"x.ko.zst":   "x",
	} {
		if got := moduleName(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}
