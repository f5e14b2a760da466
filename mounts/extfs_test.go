package mounts

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

// extImage is made by mke2fs, with files of every kind that a side has: large
// ones, small ones, empty ones, and many.
func extImage(t testing.TB, dir string, options ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		mke2fs = "/usr/sbin/mke2fs"
	}
	args := append(append([]string{"-q", "-t", "ext4", "-d", dir}, options...), name, "16M")
	if out, err := exec.Command(mke2fs, args...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	return name
}

func extFolder(t testing.TB) (string, fstest.MapFS) {
	t.Helper()
	dir, want := t.TempDir(), fstest.MapFS{}
	put := func(name string, content []byte) {
		want[name] = &fstest.MapFile{Data: content}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	large := make([]byte, 300<<10+17)
	rand.New(rand.NewSource(1)).Read(large)
	put("squashfs", large)
	put("psyopsOS.tar.minisig", []byte("a signature\n"))
	put("empty", nil)
	for n := range 100 { // more than one block of a directory
		put(fmt.Sprintf("a-file-with-a-rather-long-name-number-%d", n), fmt.Appendln(nil, n))
	}
	// A file with a hole.
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	content := append(make([]byte, 64<<10), "end"...)
	if _, err := sparse.WriteAt([]byte("end"), 64<<10); err != nil {
		t.Fatal(err)
	}
	want["sparse"] = &fstest.MapFile{Data: content}
	return dir, want
}

func TestAnUnmountedExt4IsRead(t *testing.T) {
	dir, want := extFolder(t)
	for _, options := range [][]string{nil, {"-b", "1024"}, {"-b", "4096", "-O", "^64bit"}, {"-O", "^metadata_csum"}} {
		f, err := os.Open(extImage(t, dir, options...))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e, err := OpenExt(f)
		if err != nil {
			t.Errorf("%v: %v", options, err)
			continue
		}
		for name, file := range want {
			if got, err := fs.ReadFile(e, name); err != nil || !bytes.Equal(got, file.Data) {
				t.Errorf("%v: %s: %d bytes, %v; want %d", options, name, len(got), err, len(file.Data))
			}
		}
		entries, err := fs.ReadDir(e, ".")
		if err != nil || len(entries) != len(want) {
			t.Errorf("%v: %d entries, %v; want %d", options, len(entries), err, len(want))
		}
		if free := e.Free(); free < 4<<20 || free > 16<<20 {
			t.Errorf("%v: %d bytes free", options, free)
		}
		if err := fstest.TestFS(e, "squashfs", "empty"); err != nil {
			t.Error(err)
		}
		if _, err := e.Open("lost+found"); err == nil {
			t.Error("a folder was opened")
		}
	}
}

func FuzzExt(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kernel"), bytes.Repeat([]byte("k"), 9000), 0o644); err != nil {
		f.Fatal(err)
	}
	name := extImage(f, dir, "-b", "1024", "-N", "16", "-O", "^has_journal,^resize_inode")
	image, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{})
	f.Add(uint32(1024+0x28), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := slices.Clone(image[:256<<10])
		copy(b[at%uint32(len(b)):], patch)
		e, err := OpenExt(bytes.NewReader(b))
		if err != nil {
			return
		}
		entries, _ := e.ReadDir(".")
		for _, entry := range entries {
			if f, err := e.Open(entry.Name()); err == nil {
				_, _ = f.Read(make([]byte, 4096))
			}
		}
	})
}
