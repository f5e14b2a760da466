package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/step"
)

// old is what a medium held, old partition tables everywhere.
func old(size int64) []byte { return bytes.Repeat([]byte("EFI PART"), int(size/8)) }

// burning runs the steps on a file of size bytes, full of what was there before,
// and calls before with the name of each step.
func burning(t *testing.T, ctx context.Context, image string, size int64, before func(step, medium string)) (string, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "medium")
	write(t, name, old(size))
	m, err := LookAt("/", name)
	if err != nil {
		t.Fatal(err)
	}
	b := &Burn{Image: image, Medium: m, Random: rand.Reader}
	steps := b.Steps()
	for i := range steps {
		do := steps[i].Do
		steps[i].Do = func(ctx context.Context, r *step.Reporter) error {
			if before != nil {
				before(steps[i].Name, name)
			}
			return do(ctx, r)
		}
	}
	err = step.Run(ctx, func(step.Event) {}, func() time.Duration { return 0 }, steps...)
	if errClose := b.Close(); errClose != nil && err == nil {
		t.Error(errClose)
	}
	return name, err
}

// The image is sparse, the medium larger and full of old data: what is a hole
// in the image is zero on the medium.
func TestAnImageIsWrittenWithGUIDsOfItsOwn(t *testing.T) {
	image := makeImage(t, testDisk(t))
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(content)) + 5*mebibyte + 512
	medium, err := burning(t, always, image, size, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(medium)
	if err != nil {
		t.Fatal(err)
	}
	// All but the first MiB and the table's copy is the image's.
	last := len(content) - mebibyte
	if int64(len(got)) != size || !bytes.Equal(got[mebibyte:last], content[mebibyte:last]) {
		t.Error("the medium does not hold the image")
	}
	for _, guid := range guids(t, image) {
		if slices.Contains(guids(t, medium), guid) {
			t.Errorf("%s is the image's GUID", guid)
		}
	}
	if said := judge(t, "sgdisk", "--verify", medium); !strings.Contains(said, "No problems found") {
		t.Errorf("sgdisk says %s", said)
	}
	if again, err := os.ReadFile(image); err != nil || !bytes.Equal(again, content) {
		t.Error("the image was changed")
	}
}

func TestAMediumThatKeepsSomethingElseIsFoundOut(t *testing.T) {
	image := makeImage(t, testDisk(t))
	for _, at := range []int64{mebibyte, mebibyte + 5000, 2 * mebibyte} {
		t.Run(fmt.Sprint("byte ", at), func(t *testing.T) {
			medium, err := burning(t, always, image, 80*mebibyte, func(name, medium string) {
				if name != "read back" {
					return
				}
				f, err := os.OpenFile(medium, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				one := make([]byte, 1)
				if _, err := f.ReadAt(one, at); err != nil {
					t.Fatal(err)
				}
				one[0] ^= 1
				if _, err := f.WriteAt(one, at); err != nil {
					t.Fatal(err)
				}
			})
			var wrong *DifferenceError
			if !errors.As(err, &wrong) || wrong.At != at {
				t.Errorf("got %v, want byte %d", err, at)
			}
			isEmpty(t, medium)
		})
	}
}

// isEmpty says that a medium has no partition table, neither an old one nor ours.
func isEmpty(t *testing.T, medium string) {
	t.Helper()
	content, err := os.ReadFile(medium)
	if err != nil {
		t.Fatal(err)
	}
	nothing := make([]byte, mebibyte)
	if !bytes.Equal(content[:mebibyte], nothing) {
		t.Error("its first MiB is not zero")
	}
	if bytes.Contains(content[len(content)-mebibyte:], []byte("EFI PART")) {
		t.Error("it has a partition table at its end")
	}
}

func TestAWriteThatIsBrokenOffLeavesAnEmptyDisk(t *testing.T) {
	image := makeImage(t, testDisk(t))
	ctx, stop := context.WithCancelCause(context.Background())
	reason := errors.New("Ctrl-C")
	medium, err := burning(t, ctx, image, 80*mebibyte, func(name, _ string) {
		if strings.HasPrefix(name, "write to") {
			stop(reason)
		}
	})
	if !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	isEmpty(t, medium)
}

func TestWhatIsNoImageIsNotWritten(t *testing.T) {
	image := makeImage(t, testDisk(t))
	for name, tt := range map[string]struct {
		image string
		size  int64
		want  string
	}{
		"no partition table":      {write(t, filepath.Join(t.TempDir(), "x"), make([]byte, 4*mebibyte)), 64 * mebibyte, "is no disk image"},
		"an empty file":           {write(t, filepath.Join(t.TempDir(), "x"), nil), 64 * mebibyte, "is no disk image"},
		"a medium too small":      {image, 3 * mebibyte, "has 3.0 MiB, the image"},
		"a file of half a sector": {image, 80*mebibyte + 256, "which no disk has"},
	} {
		t.Run(name, func(t *testing.T) {
			medium, err := burning(t, always, tt.image, tt.size, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			content, _ := os.ReadFile(medium)
			if !bytes.Equal(content, old(tt.size)) {
				t.Error("something was written")
			}
		})
	}
}

func TestAnImageIsNotWrittenToItself(t *testing.T) {
	image := makeImage(t, testDisk(t))
	m, err := LookAt("/", image)
	if err != nil {
		t.Fatal(err)
	}
	b := &Burn{Image: image, Medium: m, Random: rand.Reader}
	defer b.Close()
	if err := b.open(); err == nil || !strings.Contains(err.Error(), "the image itself") {
		t.Errorf("got %v", err)
	}
}
