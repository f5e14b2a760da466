package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"psyopsOS/image"
)

// What issue 3 allows for: raw, it is read from the squashfs on every start of
// neuralupgrade; compressed, it is most of the initramfs.
const (
	mostRaw        = 9 << 20
	mostCompressed = 33 << 20 / 10
)

// `make size`.
func TestSizeOfInit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "init")
	if err := image.BuildInit(t.Context(), "..", "size", file); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	packed := compressed(t, raw)
	t.Logf("init: %d bytes (%.2f MiB) raw of %.0f MiB, %d (%.2f MiB) with zstd of %.1f MiB", len(raw), mib(len(raw)), mib(mostRaw),
		packed, mib(packed), mib(mostCompressed))
	if len(raw) > mostRaw {
		t.Errorf("raw it has %d bytes, more than %d", len(raw), mostRaw)
	}
	if packed > mostCompressed {
		t.Errorf("compressed it has %d bytes, more than %d", packed, mostCompressed)
	}
	t.Logf("code by package:\n%s", heaviest(t, 25))
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

// compressed is its size as the initramfs packs it.
func compressed(t *testing.T, raw []byte) int {
	t.Helper()
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Len()
}

// heaviest lists the packages with the most machine code: those of a build with
// symbols, which has the same code but for what is not inlined.
func heaviest(t *testing.T, most int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "init")
	run(t, "go", "build", "-trimpath", "-o", file, ".")
	program, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]uint64{}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			sizes[packageOf(s.Name)] += s.Size
		}
	}
	var names []string
	for name := range sizes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(sizes[b]) - int(sizes[a]) })
	var list strings.Builder
	for _, name := range names[:min(most, len(names))] {
		fmt.Fprintf(&list, "%8d  %s\n", sizes[name], name)
	}
	return list.String()
}

// packageOf is the package of a symbol: what stands before the first dot after
// the last slash. A type's equality function belongs to the type's.
func packageOf(symbol string) string {
	symbol, _, _ = strings.Cut(symbol, "[")
	symbol = strings.TrimPrefix(symbol, "type:.eq.")
	slash := strings.LastIndexByte(symbol, '/') + 1
	name, _, _ := strings.Cut(symbol[slash:], ".")
	return symbol[:slash] + name
}

func TestPackageOf(t *testing.T) {
	for symbol, want := range map[string]string{
		"main.main":                                 "main",
		"psyopsOS/boot.(*journey).findSide":         "psyopsOS/boot",
		"github.com/vishvananda/netlink/nl.init":    "github.com/vishvananda/netlink/nl",
		"slices.pdqsort[go.shape.struct { a/b.c }]": "slices",
		"type:.eq.net/http.Request":                 "net/http",
	} {
		if got := packageOf(symbol); got != want {
			t.Errorf("%s: got %s, want %s", symbol, got, want)
		}
	}
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	var said bytes.Buffer
	cmd.Stderr = &said
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, &said)
	}
	return string(output)
}
