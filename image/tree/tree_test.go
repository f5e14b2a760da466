package tree

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// seen is a node without its function, to compare.
type seen struct {
	Mode         fs.FileMode
	UID, GID     int
	Content      string
	Target       string
	Major, Minor uint32
	Xattr        string
}

func look(t *testing.T, from *Tree) map[string]seen {
	t.Helper()
	all := map[string]seen{}
	for name, n := range from.All() {
		s := seen{n.Mode, n.UID, n.GID, "", n.Target, n.Major, n.Minor, n.Xattrs["user.note"]}
		if n.Mode.IsRegular() {
			content, err := n.Content()
			if err != nil {
				t.Fatal(err)
			}
			s.Content = string(content)
		}
		all[name] = s
	}
	return all
}

func mustAdd(t *testing.T, to *Tree, name string, n *Node) {
	t.Helper()
	if err := to.Add(name, n); err != nil {
		t.Fatal(err)
	}
}

// sample has every kind of node.
func sample(t *testing.T) *Tree {
	s := New()
	mustAdd(t, s, "bin/su", File(fs.ModeSetuid|0o755, []byte("su")))
	su, _ := s.Get("bin/su")
	mustAdd(t, s, "bin/su2", su)
	mustAdd(t, s, "bin/sh", Symlink("/bin/busybox"))
	mustAdd(t, s, "dev/console", CharDevice(0o600, 5, 1))
	mustAdd(t, s, "dev/vda", BlockDevice(0o660, 254, 3).With(0o660, 0, 6))
	mustAdd(t, s, "run/pipe", &Node{Mode: fs.ModeNamedPipe | 0o640})
	mustAdd(t, s, "tmp", Dir(fs.ModeSticky|0o777))
	mustAdd(t, s, "home/"+strings.Repeat("long", 60), File(0o640, []byte("text")).With(fs.ModeSetgid|0o640, 100000, 3000000))
	mustAdd(t, s, "etc/noted", File(0o644, nil).withXattrs(map[string]string{"user.note": "n"}))
	return s
}

func TestATarHoldsTheWholeTree(t *testing.T) {
	in := sample(t)
	var b bytes.Buffer
	if err := in.WriteTar(&b, time.Unix(1700000000, 999)); err != nil {
		t.Fatal(err)
	}
	spool, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() (*Tree, error){
		"into memory":      func() (*Tree, error) { return ReadTar(bytes.NewReader(b.Bytes()), nil) },
		"into a spool":     func() (*Tree, error) { return ReadTar(bytes.NewReader(b.Bytes()), spool) },
		"from where it is": func() (*Tree, error) { return ReadTarFile(file) },
	} {
		t.Run(name, func(t *testing.T) {
			out, err := read()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := look(t, out), look(t, in); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
			if out.nodes["bin/su"] != out.nodes["bin/su2"] {
				t.Error("the hard link became a copy")
			}
		})
	}
}

func TestATarIsTheSameTwice(t *testing.T) {
	write := func() []byte {
		var b bytes.Buffer
		if err := sample(t).WriteTar(&b, time.Unix(1700000000, 0)); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if !bytes.Equal(write(), write()) {
		t.Error("two tars of the same tree differ")
	}
}

func TestAContentOfAnotherSizeIsRefused(t *testing.T) {
	for _, size := range []int64{1, 3} {
		n := File(0o644, []byte("ab"))
		n.Size = size
		x := New()
		mustAdd(t, x, "f", n)
		if err := x.WriteTar(&bytes.Buffer{}, time.Time{}); err == nil || !strings.Contains(err.Error(), "f: ") {
			t.Errorf("size %d: got %v", size, err)
		}
	}
}

func TestATarThatLeadsOutOfTheTreeIsRefused(t *testing.T) {
	for _, h := range []tar.Header{
		{Name: "../x", Typeflag: tar.TypeReg},
		{Name: "a/../../x", Typeflag: tar.TypeReg},
		{Name: "a/../x", Typeflag: tar.TypeReg},
		{Name: "/etc/passwd", Typeflag: tar.TypeReg},
		{Name: "x", Linkname: "../y", Typeflag: tar.TypeLink},
		{Name: "x", Linkname: "notyet", Typeflag: tar.TypeLink},
		{Name: "", Typeflag: tar.TypeReg},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadTar(&b, nil); err == nil && (h.Name != "" || got.Len() > 1) {
			t.Errorf("%q → %q was taken: %v", h.Name, h.Linkname, look(t, got))
		}
	}
}

func TestHalfATarIsRefused(t *testing.T) {
	var b bytes.Buffer
	if err := sample(t).WriteTar(&b, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < b.Len(); cut += 256 {
		half := b.Bytes()[:cut]
		if _, err := ReadTar(bytes.NewReader(half), nil); err == nil {
			t.Errorf("%d of %d bytes were taken", cut, b.Len())
		}
		name := filepath.Join(t.TempDir(), "half.tar")
		if err := os.WriteFile(name, half, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTarFile(name); err == nil {
			t.Errorf("%d of %d bytes of a file were taken", cut, b.Len())
		}
	}
}

func TestAdd(t *testing.T) {
	for _, c := range []struct {
		name string
		add  func(x *Tree) error
		want string // the path that is there then
		err  string
	}{
		{"parents are made", func(x *Tree) error { return x.AddFile("a/b/c", 0o644, "") }, "a/b/c", ""},
		{"a file replaces a file", func(x *Tree) error { return x.AddFile("etc/motd", 0o600, "") }, "etc/motd", ""},
		{"a link on the way is followed", func(x *Tree) error { return x.AddFile("bin/tool", 0o755, "") }, "usr/bin/tool", ""},
		{"an absolute link too", func(x *Tree) error { return x.AddFile("abs/tool", 0o755, "") }, "usr/bin/tool", ""},
		{"a link never leads out", func(x *Tree) error { return x.AddFile("out/tool", 0o755, "") }, "tool", ""},
		{"a circle of links ends", func(x *Tree) error { return x.AddFile("round/tool", 0o755, "") }, "", "more than 40 links"},
		{"a folder where a folder is", func(x *Tree) error { return x.Add("usr/bin", Dir(0o700)) }, "usr/bin", ""},
		{"a folder where a link to one is", func(x *Tree) error { return x.Add("bin", Dir(0o755)) }, "bin", ""},
		{"no file where a folder is", func(x *Tree) error { return x.AddFile("usr/bin", 0o644, "") }, "", "a folder would be replaced by a file"},
		{"no folder where a file is", func(x *Tree) error { return x.Add("etc/motd", Dir(0o755)) }, "", "a file would be replaced by a folder"},
		{"no file below a file", func(x *Tree) error { return x.AddFile("etc/motd/x", 0o644, "") }, "", "is a file and no folder"},
		{"dots are refused", func(x *Tree) error { return x.AddFile("a/../b", 0o644, "") }, "", "no path inside"},
		{"absolute names are refused", func(x *Tree) error { return x.AddFile("/b", 0o644, "") }, "", "no path inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New()
			mustAdd(t, x, "usr/bin", Dir(0o755))
			mustAdd(t, x, "bin", Symlink("usr/bin"))
			mustAdd(t, x, "abs", Symlink("/usr/bin"))
			mustAdd(t, x, "out", Symlink("../../.."))
			mustAdd(t, x, "round", Symlink("round"))
			mustAdd(t, x, "etc/motd", File(0o644, []byte("hi")))
			err := c.add(x)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || !x.Has(c.want) {
				t.Errorf("%v; %s is there: %v", err, c.want, x.Has(c.want))
			}
			if n, _ := x.Get("usr/bin"); n.Mode != fs.ModeDir|0o755 {
				t.Errorf("usr/bin has the mode %v", n.Mode)
			}
		})
	}
}

func TestTheOrderOfAddingAFolderAndWhatLiesInItChangesNothing(t *testing.T) {
	one, two := New(), New()
	mustAdd(t, one, "root", Dir(0o700))
	mustAdd(t, one, "root/.ssh/key", File(0o600, nil))
	mustAdd(t, two, "root/.ssh/key", File(0o600, nil))
	mustAdd(t, two, "root", Dir(0o700))
	mustAdd(t, two, "root", Dir(0o711))
	if got, want := look(t, two), look(t, one); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name  string
		order Order
		want  string
	}{
		{"over replaces", Over, "new"},
		{"under never does", Under, "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, from := New(), New()
			mustAdd(t, x, "usr/bin/ls", File(0o755, []byte("old")))
			mustAdd(t, x, "bin", Symlink("usr/bin"))
			mustAdd(t, from, "bin/ls", File(0o755, []byte("new")))
			mustAdd(t, from, "bin/cat", File(0o755, []byte("cat")))
			if err := x.Merge(from, c.order); err != nil {
				t.Fatal(err)
			}
			got := look(t, x)
			if got["usr/bin/ls"].Content != c.want || got["usr/bin/cat"].Content != "cat" || got["bin"].Target != "usr/bin" {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestRemoveAndSub(t *testing.T) {
	x := sample(t)
	if !x.Remove("bin") || x.Has("bin/su") || x.Remove("bin") {
		t.Error("bin was not removed whole, once")
	}
	sub := x.Sub("dev")
	if got := look(t, sub); len(got) != 3 || got["console"].Major != 5 {
		t.Errorf("got %v", got)
	}
	x.RemoveFunc(func(string, *Node) bool { return true })
	if x.Len() != 1 {
		t.Errorf("%d nodes are left, want the root alone", x.Len())
	}
}

func TestTheTreeIsAFileSystem(t *testing.T) {
	x := New()
	mustAdd(t, x, "usr/bin/ls", File(0o755, []byte("ls")))
	mustAdd(t, x, "bin", Symlink("usr/bin"))
	mustAdd(t, x, "etc/empty", Dir(0o755))
	if err := fstest.TestFS(x.FS(), "usr/bin/ls", "bin", "etc/empty"); err != nil {
		t.Error(err)
	}
	if content, err := fs.ReadFile(x.FS(), "bin/ls"); err != nil || string(content) != "ls" {
		t.Errorf("through the link: %q, %v", content, err)
	}
	again, err := FromFS(x.FS(), PlainModes)
	if err != nil || !reflect.DeepEqual(look(t, again), look(t, x)) {
		t.Errorf("%v: got %v, want %v", err, look(t, again), look(t, x))
	}
}

func TestAFolderIsTakenOverWithoutItsOwnersAndUmask(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o700, "data": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("run", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	x, err := FromFS(os.DirFS(dir), PlainModes)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]seen{".": {Mode: fs.ModeDir | 0o755}, "run": {Mode: 0o755, Content: "run"}, "data": {Mode: 0o644, Content: "data"},
		"link": {Mode: fs.ModeSymlink | 0o777, Target: "run"}}
	if got := look(t, x); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestACpioArchiveHoldsTheTree(t *testing.T) {
	var b bytes.Buffer
	if err := sample(t).WriteCpio(&b); err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]uint64{}
	for i, r := range records {
		modes[r.Name] = r.Mode
		if r.MTime != 0 || r.Ino != uint64(i+1) {
			t.Errorf("%s has the time %d and the inode %d", r.Name, r.MTime, r.Ino)
		}
	}
	for name, want := range map[string]uint64{"bin/su": 0o104755, "bin/su2": 0o104755, "bin/sh": 0o120777, "dev": 0o040755,
		"dev/console": 0o020600, "dev/vda": 0o060660, "run/pipe": 0o010640, "tmp": 0o041777} {
		if modes[name] != want {
			t.Errorf("%s has the mode %o, want %o", name, modes[name], want)
		}
	}
}

func FuzzReadTar(f *testing.F) {
	var b bytes.Buffer
	x := New()
	if err := x.AddFile("a/b", 0o644, "c"); err != nil {
		f.Fatal(err)
	}
	if err := x.WriteTar(&b, time.Time{}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ReadTar(bytes.NewReader(data), nil)
		if err != nil {
			return
		}
		for name := range x.All() {
			if CheckName(name) != nil {
				t.Errorf("%q is in the tree", name)
			}
		}
	})
}
