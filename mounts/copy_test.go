package mounts_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"psyopsOS/mounts"
	"psyopsOS/step"
)

// randomFile is a file of that size whose contents repeat nowhere.
func randomFile(t *testing.T, size int) (name string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	name = filepath.Join(t.TempDir(), "squashfs")
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return name, content
}

func TestCopyFileCopiesAndHashesTheSameBytes(t *testing.T) {
	const block = mounts.CopyBytes
	for name, size := range map[string]int{
		"an empty file": 0, "one byte": 1, "less than a sector": 511, "an odd size below one buffer": 1<<20 + 12345,
		"exactly one buffer": block, "one byte more": block + 1, "one byte less than four buffers": 4*block - 1,
		"more buffers than there are, and an odd tail": 5*block + 4096 + 77,
	} {
		t.Run(name, func(t *testing.T) {
			src, content := randomFile(t, size)
			dst, err := os.Create(filepath.Join(t.TempDir(), "copy"))
			if err != nil {
				t.Fatal(err)
			}
			defer dst.Close()
			hash := sha256.New()
			var told []int64
			var mu sync.Mutex
			pieces := make([]byte, size) // put together again
			var seen []int64
			n, err := mounts.CopyFile(t.Context(), dst, src, mounts.CopyOptions{Size: int64(size), Hash: hash,
				Progress: func(done int64) { told = append(told, done) },
				Piece: func(offset int64, piece []byte) error {
					mu.Lock()
					defer mu.Unlock()
					copy(pieces[offset:], piece)
					seen = append(seen, offset)
					return nil
				}})
			if err != nil || n != int64(size) {
				t.Fatalf("got %d, %v; want %d", n, err, size)
			}
			got, err := os.ReadFile(dst.Name())
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("the copy differs (%d bytes instead of %d, %v)", len(got), size, err)
			}
			if want := sha256.Sum256(content); !bytes.Equal(hash.Sum(nil), want[:]) {
				t.Error("the hash is of other bytes")
			}
			slices.Sort(seen)
			for i, offset := range seen {
				if offset != int64(i)<<20 {
					t.Errorf("pieces %v, want each MiB once", seen)
				}
			}
			if !bytes.Equal(pieces, content) {
				t.Error("the pieces are of other bytes")
			}
			var want []int64
			for done := mounts.FirstBytes; done < size; done += block {
				want = append(want, int64(done))
			}
			if size > 0 {
				want = append(want, int64(size))
			}
			if !slices.Equal(told, want) {
				t.Errorf("progress %v, want %v", told, want)
			}
		})
	}
}

func TestCopyFileFallsBackWhereDirectReadsAreRefused(t *testing.T) {
	// A file in /dev/shm: tmpfs knows no direct reads before Linux 6.6.
	name := filepath.Join("/dev/shm", "mounts-test-"+filepath.Base(t.TempDir())+"-"+strings.ReplaceAll(t.Name(), "/", "-"))
	content := bytes.Repeat([]byte("psyops"), 1<<20)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	var got bytes.Buffer
	if n, err := mounts.CopyFile(t.Context(), &got, name, mounts.CopyOptions{}); err != nil || n != int64(len(content)) || !bytes.Equal(got.Bytes(), content) {
		t.Errorf("got %d bytes, %v; want %d", n, err, len(content))
	}
}

func TestCopyFileRefusesASizeThatIsNotTheRightOneBeforeItWrites(t *testing.T) {
	src, _ := randomFile(t, 1000)
	for want, text := range map[int64]string{
		999:  src + " is too long: 1000 bytes instead of 999",
		1001: src + " is too short: 1000 bytes instead of 1001",
	} {
		var dst bytes.Buffer
		_, err := mounts.CopyFile(t.Context(), &dst, src, mounts.CopyOptions{Size: want})
		var size *mounts.SizeError
		if !errors.As(err, &size) || err.Error() != text || dst.Len() != 0 {
			t.Errorf("got %v and %d bytes written; want %s", err, dst.Len(), text)
		}
	}
}

func TestCopyFileRefusesWhatIsNoFile(t *testing.T) {
	for name, src := range map[string]string{"a folder": t.TempDir(), "a device": "/dev/null", "nothing": "/nonexistent/squashfs"} {
		if n, err := mounts.CopyFile(t.Context(), io.Discard, src, mounts.CopyOptions{}); err == nil {
			t.Errorf("%s: copied %d bytes", name, n)
		}
	}
}

type failingWriter struct {
	after int
	err   error
}

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.after--; w.after < 0 {
		if w.err == nil {
			panic("a defect in a writer")
		}
		return 0, w.err
	}
	return len(b), nil
}

func TestCopyFileEndsWithTheWritersError(t *testing.T) {
	src, _ := randomFile(t, 5*mounts.CopyBytes)
	for after := range 5 {
		n, err := mounts.CopyFile(t.Context(), &failingWriter{after, syscall.ENOSPC}, src, mounts.CopyOptions{})
		if !errors.Is(err, syscall.ENOSPC) || n > int64(after)*mounts.CopyBytes {
			t.Errorf("no space after %d buffers: got %d, %v", after, n, err)
		}
		_, err = mounts.CopyFile(t.Context(), io.Discard, src, mounts.CopyOptions{Hash: &failingWriter{after, syscall.EDOM}})
		if !errors.Is(err, syscall.EDOM) {
			t.Errorf("a hash that fails after %d buffers: got %v", after, err)
		}
	}
}

func TestCopyFileEndsWithTheErrorOrThePanicOfWhoGetsThePieces(t *testing.T) {
	src, _ := randomFile(t, 5*mounts.CopyBytes)
	for _, at := range []int64{0, 1 << 20, 7 << 20, 20<<20 - 1<<20} {
		_, err := mounts.CopyFile(t.Context(), io.Discard, src, mounts.CopyOptions{Piece: func(offset int64, _ []byte) error {
			if offset == at {
				return syscall.EDOM
			}
			return nil
		}})
		if !errors.Is(err, syscall.EDOM) {
			t.Errorf("the piece at %d fails: got %v", at, err)
		}
		_, err = mounts.CopyFile(t.Context(), io.Discard, src, mounts.CopyOptions{Piece: func(offset int64, _ []byte) error {
			if offset == at {
				panic("a defect")
			}
			return nil
		}})
		var p *step.Panic
		if !errors.As(err, &p) {
			t.Errorf("the piece at %d panics: got %v", at, err)
		}
	}
}

func TestCopyFileWritesNothingAfterAFailure(t *testing.T) {
	src, _ := randomFile(t, 8*mounts.CopyBytes)
	writes := 0
	dst := writerFunc(func([]byte) (int, error) {
		writes++
		return 0, syscall.ENOSPC
	})
	if _, err := mounts.CopyFile(t.Context(), dst, src, mounts.CopyOptions{}); !errors.Is(err, syscall.ENOSPC) || writes != 1 {
		t.Errorf("got %v after %d writes, want 1", err, writes)
	}
}

func TestCopyFileTurnsAWritersPanicIntoAnError(t *testing.T) {
	src, _ := randomFile(t, 100)
	var panicked *step.Panic
	if _, err := mounts.CopyFile(t.Context(), &failingWriter{}, src, mounts.CopyOptions{}); !errors.As(err, &panicked) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestCopyFileStopsWithItsContext(t *testing.T) {
	src, _ := randomFile(t, 12*mounts.CopyBytes)
	tired := errors.New("tired")
	ctx, cancel := context.WithCancelCause(t.Context())
	written := 0
	dst := writerFunc(func(b []byte) (int, error) {
		written += len(b)
		cancel(tired)
		return len(b), nil
	})
	if n, err := mounts.CopyFile(ctx, dst, src, mounts.CopyOptions{}); !errors.Is(err, tired) || written > 5*mounts.CopyBytes {
		t.Errorf("got %d, %v after %d bytes were written", n, err, written)
	}
}

func TestAFileThatShrinksWhileItIsCopiedIsTold(t *testing.T) {
	src, _ := randomFile(t, 12*mounts.CopyBytes)
	dst := writerFunc(func(b []byte) (int, error) { return len(b), os.Truncate(src, mounts.CopyBytes) })
	var size *mounts.SizeError
	if n, err := mounts.CopyFile(t.Context(), dst, src, mounts.CopyOptions{}); !errors.As(err, &size) {
		t.Errorf("got %d, %v; want that it is too short", n, err)
	}
}

func TestAReadErrorNamesFileAndOffset(t *testing.T) {
	err := &mounts.ReadError{Path: "/side/squashfs", Offset: 8388608, Err: syscall.EIO}
	if got, want := err.Error(), "read /side/squashfs at byte 8388608: input/output error"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if step.HintOf(err) == "" || !errors.Is(err, syscall.EIO) {
		t.Errorf("hint %q, cause %v", step.HintOf(err), errors.Unwrap(err))
	}
}
