package rpm_test

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"psyopsOS/image/rpm"
	"psyopsOS/image/rpm/rpmtest"
	"psyopsOS/image/tree"
)

// root is a folder of files as a kernel's package has them.
func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	modules := filepath.Join(dir, "lib/modules/6.1-test")
	if err := os.MkdirAll(filepath.Join(modules, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"vmlinuz": "linux", "System.map": "", "kernel/a.ko.xz": strings.Repeat("module", 10_000)} {
		if err := os.WriteFile(filepath.Join(modules, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(modules, "vmlinuz"), filepath.Join(modules, "kernel/hard")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/src/linux", filepath.Join(modules, "build")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhatRpmbuildMakesIsUnpacked(t *testing.T) {
	dir := root(t)
	for _, payload := range []string{"w9.gzdio", "w3.zstdio", "w2.xzdio", "w.ufdio"} {
		t.Run(payload, func(t *testing.T) {
			file := rpmtest.Build(t, rpmtest.Package{Name: "kernel-test", Version: "6.1", Root: dir, Payload: payload})
			spool, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer spool.Close()
			x, info, err := rpm.Unpack(file, spool)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("sha256sum", file).Output()
			if err != nil {
				t.Fatal(err)
			}
			sum, _, _ := strings.Cut(string(out), " ")
			want := rpm.Info{Name: "kernel-test", Version: "6.1-1.test", Arch: "x86_64", Source: "kernel-test-6.1-1.test.src.rpm", License: "GPL-2.0-only", SHA256: sum}
			if info != want {
				t.Errorf("got %+v\nwant %+v", info, want)
			}
			judge(t, x)
		})
	}
}

func judge(t *testing.T, x *tree.Tree) {
	t.Helper()
	for name, want := range map[string]string{"vmlinuz": "linux", "kernel/hard": "linux", "System.map": "", "kernel/a.ko.xz": strings.Repeat("module", 10_000)} {
		n, ok := x.Get("lib/modules/6.1-test/" + name)
		if !ok {
			t.Errorf("%s is not in it", name)
			continue
		}
		if content, err := n.Content(); err != nil || string(content) != want || n.Mode != 0o755 {
			t.Errorf("%s is %v and holds %d bytes, %v", name, n.Mode, len(content), err)
		}
	}
	one, _ := x.Get("lib/modules/6.1-test/vmlinuz")
	two, _ := x.Get("lib/modules/6.1-test/kernel/hard")
	if one != two {
		t.Error("the hard link became a copy")
	}
	if n, _ := x.Get("lib/modules/6.1-test/build"); n == nil || n.Mode.Type() != fs.ModeSymlink || n.Target != "/usr/src/linux" {
		t.Errorf("the link is %+v", n)
	}
}

func TestADamagedPackageIsRefused(t *testing.T) {
	file := rpmtest.Build(t, rpmtest.Package{Name: "kernel-test", Version: "6.1", Root: root(t)})
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	unpack := func(content []byte) error {
		t.Helper()
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err := rpm.Unpack(file, nil)
		return err
	}
	if err := unpack(whole); err != nil {
		t.Fatal(err)
	}
	huge := slices.Clone(whole)
	binary.BigEndian.PutUint32(huge[96+8:], 0x0fffffff)
	for name, content := range map[string][]byte{
		"nothing": nil, "no package": []byte("<html>not found</html>"), "a lead alone": whole[:96], "half": whole[:len(whole)/2],
		"without its last byte": whole[:len(whole)-1], "a table without end": huge, "more behind it": append(slices.Clone(whole), 0),
	} {
		if err := unpack(content); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	// From the general header on every byte is covered by a digest.
	start := bytes.Index(whole[97:], []byte("\x8e\xad\xe8\x01")) + 97
	start = start + 1 + bytes.Index(whole[start+1:], []byte("\x8e\xad\xe8\x01"))
	for at := start; at < len(whole); at += 101 {
		content := slices.Clone(whole)
		content[at] ^= 4
		if err := unpack(content); err == nil {
			t.Errorf("byte %d of %d was changed, and nobody saw it", at, len(whole))
		}
	}
}

// FuzzUnpack: no file makes it panic, take memory without end, or bring a file
// outside the tree.
func FuzzUnpack(f *testing.F) {
	small, err := os.ReadFile("testdata/small.rpm")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, content []byte) {
		file := filepath.Join(t.TempDir(), "f.rpm")
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		x, _, err := rpm.Unpack(file, nil)
		if err != nil {
			return
		}
		for name := range x.All() {
			if tree.CheckName(name) != nil {
				t.Errorf("%q is in the tree", name)
			}
		}
	})
}
