package loader

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tarOf is a tar of files that depends on nothing but them.
func tarOf(files []file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	sorted := slices.SortedFunc(slices.Values(files), func(a, b file) int { return strings.Compare(a.path, b.path) })
	for _, f := range sorted {
		err := w.WriteHeader(&tar.Header{Name: f.path, Mode: 0o644, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			return nil, fmt.Errorf("memdisk: %s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("memdisk: %w", err)
	}
	return b.Bytes(), nil
}

// quiet is a language for GRUB in which the script's expected failures are
// told with no words: GRUB has no other way to silence a command, and "error:
// file `/grub/STATE2.ENV' not found" frightens where nothing is wrong.
func quiet() []byte {
	return messages(map[string]string{
		"error: %s.\n":        "",
		"%s: OK\n":            "",
		"%s: HASH MISMATCH\n": "",
		"%s: READ ERROR\n":    "",
	})
}

// messages is a GNU message catalogue (.mo), which GRUB's gettext reads: a
// head, a table of the originals sorted, one of the translations, the texts.
func messages(translations map[string]string) []byte {
	var originals []string
	for original := range translations {
		originals = append(originals, original)
	}
	slices.Sort(originals)
	const head = 28
	n := uint32(len(originals))
	out := binary.LittleEndian.AppendUint32(nil, 0x950412de)
	for _, word := range []uint32{0, n, head, head + 8*n, 0, head + 16*n} {
		out = binary.LittleEndian.AppendUint32(out, word)
	}
	at := head + 16*n
	var texts []byte
	table := func(text string) {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
		out = binary.LittleEndian.AppendUint32(out, at+uint32(len(texts)))
		texts = append(append(texts, text...), 0)
	}
	for _, original := range originals {
		table(original)
	}
	for _, original := range originals {
		table(translations[original])
	}
	return append(out, texts...)
}
