package debian

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/image/debian/debtest"
	"psyopsOS/image/tree"
)

func makeDeb(t testing.TB, member string, files map[string]string) []byte {
	t.Helper()
	deb, err := debtest.Deb(member, files)
	if err != nil {
		t.Fatal(err)
	}
	return deb
}

func inFile(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "p.deb")
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAPackageIsUnpackedWhateverItIsCompressedWith(t *testing.T) {
	for _, member := range []string{"data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst"} {
		t.Run(member, func(t *testing.T) {
			x, err := Unpack(inFile(t, makeDeb(t, member, map[string]string{"usr/bin/tool": "content"})), nil)
			if err != nil {
				t.Fatal(err)
			}
			if n, ok := x.Get("usr/bin/tool"); !ok || n.Size != 7 || n.Mode != 0o755 {
				t.Errorf("got %v", n)
			}
		})
	}
}

func TestADamagedPackageIsRefused(t *testing.T) {
	whole := makeDeb(t, "data.tar.xz", map[string]string{"usr/bin/tool": strings.Repeat("content", 1000)})
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"cut short", whole[:len(whole)-40], ""},
		{"a flipped bit", flip(whole, len(whole)-60), ""},
		{"damage behind the last file", flip(whole, len(whole)-6), ""},
		{"no package at all", []byte("<html>not found</html>"), "no Debian package"},
		{"empty", nil, "no Debian package"},
		{"no data member", makeDeb(t, "other", nil), "no data member"},
	} {
		for _, path := range []string{os.Getenv("PATH"), t.TempDir()} { // with and without the program xz
			t.Run(c.name, func(t *testing.T) {
				t.Setenv("PATH", path)
				if _, err := Unpack(inFile(t, c.content), nil); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want one with %q", err, c.want)
				}
			})
		}
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestMissingLibrariesAreNamed(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	sh, err := os.ReadFile("/bin/sh") // a dynamic program of the build machine
	if err != nil {
		t.Fatal(err)
	}
	x := tree.New()
	for name, content := range map[string][]byte{"bin/static": program, "bin/sh": sh, "etc/text": []byte(strings.Repeat("text ", 50))} {
		if err := x.Add(name, tree.File(0o755, content)); err != nil {
			t.Fatal(err)
		}
	}
	missing, err := MissingLibraries(x)
	if err != nil || len(missing) == 0 || !strings.Contains(strings.Join(missing, "\n"), "bin/sh needs libc.so.6") {
		t.Errorf("got %q, %v", missing, err)
	}
	if err := x.AddFile("usr/lib/libc.so.6", 0o644, ""); err != nil {
		t.Fatal(err)
	}
	if missing, err = MissingLibraries(x); err != nil || strings.Contains(strings.Join(missing, "\n"), "bin/sh needs libc.so.6") {
		t.Errorf("got %q, %v", missing, err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(makeDeb(f, "data.tar", map[string]string{"a": "b"}))
	f.Add(makeDeb(f, "data.tar.gz", map[string]string{"a": "b"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := unpack(bytes.NewReader(data), nil)
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
