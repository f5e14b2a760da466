package oci_test

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"psyopsOS/image/oci"
	. "psyopsOS/image/oci/ocitest"
	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// glance is a tree as one line for each node: mode, owner, name, and what
// there is to say of it.
func glance(t *testing.T, x *tree.Tree) []string {
	t.Helper()
	var list []string
	first := map[*tree.Node]string{}
	for name, n := range x.All() {
		line := fmt.Sprintf("%v %d:%d %s", n.Mode, n.UID, n.GID, name)
		switch {
		case first[n] != "":
			line += " = " + first[n]
		case n.Mode.IsRegular():
			content, err := n.Content()
			if err != nil {
				t.Fatal(err)
			}
			line += " " + string(content)
			first[n] = name
		case n.Mode.Type() == fs.ModeSymlink:
			line += " -> " + n.Target
		case n.Mode&fs.ModeDevice != 0:
			line += fmt.Sprintf(" %d,%d", n.Major, n.Minor)
		}
		for _, key := range slices.Sorted(maps.Keys(n.Xattrs)) {
			line += " " + key + "=" + n.Xattrs[key]
		}
		list = append(list, line)
	}
	return list
}

func treeOf(t *testing.T, ref string, o oci.Options) (*tree.Tree, error) {
	t.Helper()
	i, err := oci.Open(t.Context(), ref, o)
	if err != nil {
		return nil, err
	}
	if err := i.Fetch(t.Context(), func(int64, int64) {}); err != nil {
		return nil, err
	}
	spool, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spool.Close() })
	return i.Tree(t.Context(), spool)
}

// layout writes an image of these layers, and gives its folder.
func layout(t *testing.T, layers ...[]byte) string {
	t.Helper()
	return Layout(t, t.TempDir(), map[string]v1.Image{"one": Image(t, "amd64", layers...)})
}

func with(e Entry, change func(*tar.Header)) Entry {
	change(&e.Header)
	return e
}

// base is the lowest layer of the stories below.
func base(t *testing.T) []byte {
	return Tar(t,
		with(Dir(".", 0o711), func(h *tar.Header) {}),
		Dir("bin", 0o755),
		with(File("bin/su", 0o4755, "su"), func(h *tar.Header) { h.Gid = 8 }),
		with(File("bin/ping", 0o755, "ping"), func(h *tar.Header) {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "raw", "SCHILY.xattr.trusted.overlay.opaque": "y"}
		}),
		Hard("bin/ping4", "bin/ping"),
		Dir("usr/lib", 0o755), File("usr/lib/old", 0o644, "old"), Link("lib", "usr/lib"),
		with(Entry{Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}}, func(*tar.Header) {}),
		with(Dir("home/user", 0o750), func(h *tar.Header) { h.Uid, h.Gid = 1000, 100 }),
		Dir("etc/conf", 0o755), File("etc/conf/a", 0o644, "a"), File("etc/conf/b", 0o644, "b"), Dir("etc/conf/deep", 0o755), File("etc/conf/deep/c", 0o644, "c"),
		File("etc/motd", 0o644, "base"), Link("out", "/../../etc"), Link("loop", "loop"),
	)
}

func TestLayersAreLaidOverOneAnother(t *testing.T) {
	for _, c := range []struct {
		name  string
		above []Entry
		has   []string
		not   []string
	}{
		{"what one layer says", nil, []string{
			"drwx--x--x 0:0 .", "urwxr-xr-x 0:8 bin/su su", "-rwxr-xr-x 0:0 bin/ping ping security.capability=raw",
			"-rwxr-xr-x 0:0 bin/ping4 = bin/ping security.capability=raw", "Dcrw-rw-rw- 0:0 dev/null 1,3", "drwxr-x--- 1000:100 home/user",
			"Lrwxrwxrwx 0:0 lib -> usr/lib"}, nil},
		{"a whiteout takes a file", []Entry{File("etc/.wh.motd", 0, "")}, []string{"etc/conf/a"}, []string{"etc/motd", "etc/.wh.motd"}},
		{"a whiteout takes a folder and all in it", []Entry{File("etc/.wh.conf", 0, "")}, []string{"etc/motd"}, []string{"etc/conf"}},
		{"a whiteout of one name leaves the other", []Entry{File("bin/.wh.ping", 0, "")}, []string{"bin/ping4 ping"}, []string{"bin/ping "}},
		{"a whiteout of nothing", []Entry{File("nowhere/.wh.x", 0, "")}, []string{"etc/motd"}, []string{"nowhere"}},
		{"an opaque folder keeps only what its layer brings, wherever it comes", []Entry{File("etc/conf/new", 0o644, "new"), File("etc/conf/.wh..wh..opq", 0, ""), File("etc/conf/deep/d", 0o644, "d")},
			[]string{"etc/conf/new new", "etc/conf/deep/d d", "etc/motd"}, []string{"etc/conf/a", "etc/conf/b", "etc/conf/deep/c", ".wh."}},
		{"an opaque root", []Entry{File(".wh..wh..opq", 0, ""), File("init", 0o755, "i")}, []string{"init i", "drwx--x--x 0:0 ."}, []string{"etc", "bin", "lib"}},
		{"a whiteout and the file in one layer", []Entry{File("etc/motd", 0o644, "new"), File("etc/.wh.motd", 0, "")}, []string{"etc/motd new"}, nil},
		{"a folder's mode changes, its files stay", []Entry{with(Dir("etc/conf", 0o700), func(h *tar.Header) { h.Uid = 5 })}, []string{"drwx------ 5:0 etc/conf", "etc/conf/a a"}, nil},
		{"a file in the place of a folder", []Entry{File("etc/conf", 0o644, "file")}, []string{"etc/conf file"}, []string{"etc/conf/a"}},
		{"a folder in the place of a link", []Entry{Dir("lib", 0o755), File("lib/new", 0o644, "n")}, []string{"drwxr-xr-x 0:0 lib", " lib/new n", "usr/lib/old old"}, []string{"lib -> usr/lib", "usr/lib/new"}},
		{"a file through a link", []Entry{File("lib/new", 0o644, "n")}, []string{"usr/lib/new n", "lib -> usr/lib"}, []string{" lib/new"}},
		{"a whiteout through a link", []Entry{File("lib/.wh.old", 0, "")}, []string{"lib -> usr/lib"}, []string{"usr/lib/old"}},
		{"a link out of the root stays inside", []Entry{File("out/passwd", 0o644, "p")}, []string{"etc/passwd p"}, nil},
		{"a hard link to a file of the layer below", []Entry{Hard("bin/su2", "bin/su")}, []string{"bin/su2 = bin/su"}, nil},
		{"a hard link through a link", []Entry{Hard("older", "/lib/old")}, []string{"older old"}, nil},
		{"absolute names", []Entry{File("/etc/issue", 0o644, "i")}, []string{"etc/issue i"}, nil},
		{"what aufs kept for itself", []Entry{File(".wh..wh.plnk/1.2", 0o644, "x"), Dir(".wh..wh.orph", 0o700)}, []string{"etc/motd"}, []string{".wh..wh.orph"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			layers := [][]byte{base(t)}
			if c.above != nil {
				layers = append(layers, Tar(t, c.above...))
			}
			x, err := treeOf(t, layout(t, layers...), oci.Options{})
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(glance(t, x), "\n") + "\n"
			for _, want := range c.has {
				if !strings.Contains(all, want) {
					t.Errorf("%q is not in it", want)
				}
			}
			for _, gone := range append(c.not, "trusted.overlay") {
				if strings.Contains(all, " "+strings.TrimPrefix(gone, " ")) {
					t.Errorf("%q is in it", gone)
				}
			}
			if t.Failed() {
				t.Log("\n" + all)
			}
		})
	}
}

func TestLayersThatReachOutOrMakeNoSenseAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		above Entry
		want  string
	}{
		{"a name that leaves the root", File("../etc/passwd", 0o644, "p"), "no path inside the tree"},
		{"a name that leaves it in the middle", File("etc/../../passwd", 0o644, "p"), "no path inside the tree"},
		{"a hard link that leaves the root", Hard("x", "../../etc/passwd"), "no path inside the tree"},
		{"a hard link to nothing", Hard("x", "nowhere"), "no file before it"},
		{"a hard link to a folder", Hard("x", "etc"), "no file before it"},
		{"a whiteout outside", File("../.wh.x", 0, ""), "no path inside the tree"},
		{"a whiteout of no name", File("etc/.wh.", 0, ""), "a whiteout of no file"},
		{"a whiteout of the folder above", File("etc/conf/.wh...", 0, ""), "a whiteout of no file"},
		{"below a file", File("etc/motd/x", 0o644, ""), "is a file and no folder"},
		{"in a loop of links", File("loop/x", 0o644, ""), "more than 40 links"},
		{"a whiteout in a loop of links", File("loop/.wh.x", 0, ""), "more than 40 links"},
		{"a file in the place of the root", Entry{Header: tar.Header{Name: ".", Typeflag: tar.TypeSymlink, Linkname: "/etc"}}, "root would be replaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := treeOf(t, layout(t, base(t), Tar(t, c.above)), oci.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "layer 2 of 2") {
				t.Errorf("got %v, want one with %q", err, c.want)
			}
		})
	}
}

// The same image, however it comes, is the same tree.
func TestAnImageComesInManyWays(t *testing.T) {
	dir := t.TempDir()
	i := Image(t, "amd64", base(t), Tar(t, File("etc/.wh.motd", 0, "")), Tar(t, File("etc/three", 0o644, "3")))
	arm := Image(t, "arm64", Tar(t, File("arm", 0o644, "arm")))
	folder := Layout(t, filepath.Join(dir, "layout"), map[string]v1.Image{"one": i})
	both := Layout(t, filepath.Join(dir, "both"), map[string]v1.Image{"one": i, "two": Image(t, "amd64", Tar(t, File("two", 0o644, "2")))})
	digest, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	archive := Archive(t, folder, filepath.Join(dir, "image.tar"))
	address, _ := Registry(t)
	Push(t, address+"/os/test:1", i)
	Push(t, address+"/os/test:all", Index(t, map[string]v1.Image{"linux/arm64": arm, "linux/amd64": i, "unknown/unknown": arm}))
	x, err := treeOf(t, folder, oci.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := glance(t, x)
	if len(want) < 15 {
		t.Fatalf("the tree is small: %q", want)
	}
	for _, ref := range []string{folder, folder + ":one", folder + "@" + digest.String(), both + ":one", both + "@" + digest.String(),
		archive, archive + ":one", gzipped(t, archive), DockerArchive(t, filepath.Join(dir, "docker.tar"), "os/test:1", i),
		filepath.Join(dir, "docker.tar") + ":os/test:1", filepath.Join(dir, "docker.tar") + ":1",
		address + "/os/test:1", address + "/os/test:all", address + "/os/test@" + digest.String()} {
		t.Run(strings.NewReplacer(dir, "", address, "registry").Replace(ref), func(t *testing.T) {
			x, err := treeOf(t, ref, oci.Options{Cache: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if got := glance(t, x); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func gzipped(t *testing.T, file string) string {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(file + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file + ".gz"
}

func TestWhatIsNotTheImageThatIsWanted(t *testing.T) {
	dir := t.TempDir()
	one, two := Image(t, "amd64", base(t)), Image(t, "amd64", Tar(t, File("two", 0o644, "2")))
	both := Layout(t, filepath.Join(dir, "both"), map[string]v1.Image{"one": one, "two": two})
	arm := Layout(t, filepath.Join(dir, "arm"), map[string]v1.Image{"one": Image(t, "arm64", base(t))})
	rootfs := filepath.Join(dir, "rootfs.tar")
	if err := os.WriteFile(rootfs, base(t), 0o644); err != nil {
		t.Fatal(err)
	}
	address, _ := Registry(t)
	Push(t, address+"/arm:1", Index(t, map[string]v1.Image{"linux/arm64": one, "linux/riscv64": two}))
	Push(t, address+"/variants:1", Index(t, map[string]v1.Image{"linux/amd64/v3": one, "linux/amd64/v2": two}))
	if x, err := treeOf(t, address+"/variants:1", oci.Options{Cache: t.TempDir()}); err != nil || !x.Has("two") {
		t.Errorf("the oldest variant was not taken: %v", err)
	}
	for _, c := range []struct{ name, ref, want, hint string }{
		{"several, and none named", both, "2 images for linux/amd64 in it: one, two", "PATH:NAME"},
		{"a name that none has", both + ":three", "called three in it; there are: one, two", "one of these"},
		{"another machine's", arm, "for linux/arm64 and not for linux/amd64", "that machine"},
		{"an index for other machines", address + "/arm:1", "no image for linux/amd64 in it; there are: linux/arm64, linux/riscv64", "another image"},
		{"a root file system", rootfs, "neither index.json", "--userland tar:"},
		{"nothing at all", "./nothing", "no such file", ""},
		{"no reference", "UPPER CASE", "could not parse", "begins with ./"},
		{"what the registry does not have", address + "/os/test:2", "NAME_UNKNOWN", "by digest"},
		{"a registry that does not answer", "127.0.0.1:1/os/test:2", "connection refused", "by digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := treeOf(t, c.ref, oci.Options{Cache: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(step.HintOf(err), c.hint) {
				t.Errorf("got %v (hint %q)\nwant one with %q and %q", err, step.HintOf(err), c.want, c.hint)
			}
		})
	}
}
