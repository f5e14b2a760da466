package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/release"
)

func TestSHA256SumChecksASideWrittenFromTheTar(t *testing.T) {
	o := testOSTar(t)
	rel := mustOSTar(t, o)
	dir := filepath.Join(t.TempDir(), "side")
	m, err := WriteSide(context.Background(), dir, rel.Tar, ourKeys(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(m.JSON()), string(rel.Manifest.JSON()); got != want {
		t.Errorf("manifest: got %s, want %s", got, want)
	}
	t.Chdir(dir)
	if got, want := judge(t, "sha256sum", "--strict", "-c", layout.BootSum), "kernel: OK\ninitramfs: OK\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	files, err := SideFiles(dir, layout.SideB)
	if err != nil {
		t.Fatal(err)
	}
	if first, last := files[0].Path, files[len(files)-1].Path; first != layout.Kernel || last != layout.OSTarSignature {
		t.Errorf("first is %s, last is %s", first, last)
	}
	i := slices.IndexFunc(files, func(f disk.File) bool { return f.Path == "psyopsOS-B" })
	if i < 0 || string(files[i].Data) != "psyopsOS-B" || len(files) != len(o.Members)+5 {
		t.Errorf("file psyopsOS-B at %d of %d", i, len(files))
	}
}

func TestWriteSideRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, rel OSRelease)
		want  string
	}{
		{"a flipped byte of a member", flip(layout.Squashfs), "but the manifest says"},
		{"a flipped byte of the manifest", flip(layout.Manifest), "manifest.json"},
		{"bytes behind the end", func(t *testing.T, rel OSRelease) {
			appendTo(t, rel.Tar, make([]byte, 512))
		}, "more bytes"},
		{"a tar that is cut off", func(t *testing.T, rel OSRelease) {
			if err := os.Truncate(rel.Tar, rel.Info.Size-2048); err != nil {
				t.Fatal(err)
			}
		}, "unexpected EOF"},
		{"no signature", func(t *testing.T, rel OSRelease) { os.Remove(rel.Signature) }, "no such file"},
		{"another member", repacked("etc/passwd"), "not a file of the manifest"},
		{"a member twice", repacked(layout.Kernel), "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rel := mustOSTar(t, testOSTar(t))
			tt.spoil(t, rel)
			dir := filepath.Join(t.TempDir(), "side")
			_, err := WriteSide(context.Background(), dir, rel.Tar, ourKeys(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			for _, name := range []string{layout.BootSum, layout.OSTarSignature} {
				if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is there", name)
				}
			}
		})
	}
}

// flip flips a bit in the middle of a member.
func flip(memberName string) func(*testing.T, OSRelease) {
	return func(t *testing.T, rel OSRelease) {
		data, err := os.ReadFile(rel.Tar)
		if err != nil {
			t.Fatal(err)
		}
		in := bytes.NewReader(data)
		for r := tar.NewReader(in); ; {
			h, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if h.Name == memberName {
				data[int64(len(data))-int64(in.Len())+h.Size/2] ^= 1
				break
			}
		}
		if err := os.WriteFile(rel.Tar, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func appendTo(t *testing.T, name string, more []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(more); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// repacked adds a member and signs the tar again with the right key.
func repacked(extra string) func(*testing.T, OSRelease) {
	return func(t *testing.T, rel OSRelease) {
		in, err := os.Open(rel.Tar)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var out bytes.Buffer
		r, w := tar.NewReader(in), tar.NewWriter(&out)
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(w, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: extra, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(rel.Tar, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		_, secret := testKey(t, "ours")
		if _, err := signTar(context.Background(), rel.Tar, &rel.Info, []release.SecretKey{secret}); err != nil {
			t.Fatal(err)
		}
	}
}
