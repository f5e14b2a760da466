package tree

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"strings"
	"testing"
)

// lower is what the layers below have brought.
func lower(t *testing.T) *Tree {
	t.Helper()
	x := New()
	for _, err := range []error{
		x.AddFile("usr/lib/old", 0o644, "old"),
		x.Add("lib", Symlink("usr/lib")),
		x.AddFile("etc/conf/a", 0o600, "a"),
		x.AddFile("etc/file", 0o644, "f"),
		x.Add("loop", Symlink("loop")),
		x.Add("up", Symlink("../../..")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func TestPutReplacesAsALayerDoes(t *testing.T) {
	for _, c := range []struct {
		name, put string
		node      *Node
		want      map[string]string // path → content, "dir MODE", "-> target" or "none"
		err       string
	}{
		{"a file over a file", "etc/file", File(0o644, []byte("new")), map[string]string{"etc/file": "new"}, ""},
		{"a folder over a folder keeps what is in it", "etc/conf", Dir(0o700), map[string]string{"etc/conf": "dir drwx------", "etc/conf/a": "a"}, ""},
		{"a file over a folder", "etc/conf", File(0o644, []byte("new")), map[string]string{"etc/conf": "new", "etc/conf/a": "none"}, ""},
		{"a folder over a file", "etc/file", Dir(0o755), map[string]string{"etc/file": "dir drwxr-xr-x"}, ""},
		{"through a link", "lib/new", File(0o644, []byte("new")), map[string]string{"usr/lib/new": "new", "lib": "-> usr/lib", "usr/lib/old": "old"}, ""},
		{"a folder over a link replaces the link", "lib", Dir(0o755), map[string]string{"lib": "dir drwxr-xr-x", "usr/lib/old": "old"}, ""},
		{"a link out of the tree stays inside", "up/etc/file", File(0o644, []byte("new")), map[string]string{"etc/file": "new"}, ""},
		{"the root", ".", Dir(0o700), map[string]string{".": "dir drwx------", "etc/file": "f"}, ""},
		{"no folder in the place of the root", ".", Symlink("/etc"), nil, "the root would be replaced"},
		{"below a file", "etc/file/x", Dir(0o755), nil, "is a file and no folder"},
		{"below a loop", "loop/x", Dir(0o755), nil, "more than 40 links"},
		{"a name that leaves", "../x", Dir(0o755), nil, "no path inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := lower(t)
			err := x.Put(c.put, c.node)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got := glance(t, x, name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func glance(t *testing.T, x *Tree, name string) string {
	t.Helper()
	n, ok := x.Get(name)
	switch {
	case !ok:
		return "none"
	case n.Mode.IsDir():
		return "dir " + n.Mode.String()
	case n.Mode.Type() == fs.ModeSymlink:
		return "-> " + n.Target
	}
	content, err := n.Content()
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// What root file system tars of distributions hold beside plain files.
func TestATarWithWhatRealOnesHave(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "0123"}},
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o711},
		{Name: "./bin/sh", Typeflag: tar.TypeSymlink, Linkname: "busybox"},
		{Name: "./bin/ash", Typeflag: tar.TypeLink, Linkname: "./bin/sh"},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	x, err := ReadTar(&b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{".": "dir drwx--x--x", "bin/sh": "-> busybox", "bin/ash": "-> busybox", "pax_global_header": "none"} {
		if got := glance(t, x, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestMembersWithAbsoluteNamesAreBelowTheRoot(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{{Name: "/", Typeflag: tar.TypeDir}, {Name: "/etc/a", Typeflag: tar.TypeReg}, {Name: "/etc/b", Typeflag: tar.TypeLink, Linkname: "/etc/a"}} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := ReadMembers(bytes.NewReader(b.Bytes()), nil, func(m Member) error {
		got = append(got, m.Name+"="+m.LinkTo)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := ".= etc/a= etc/b=etc/a"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := ReadTar(&b, nil); err == nil {
		t.Error("a package's tar may have absolute names")
	}
}
