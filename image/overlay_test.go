package image

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"psyopsOS/image/tree"
	"psyopsOS/step"
)

func TestAnOverlayTakesModesFromWhatItReplaces(t *testing.T) {
	userland := treeOf(t, map[string]*tree.Node{
		"etc/shadow":     tree.File(0o640, nil).With(0o640, 0, 42),
		"usr/bin/helper": tree.File(0o755, nil).With(0o755|fs.ModeSetuid, 0, 0),
		"usr/sbin":       tree.Dir(0o755),
		"sbin":           tree.Symlink("usr/sbin"),
		"etc/link":       tree.Symlink("shadow"),
	})
	over, err := Overlay(fstest.MapFS{
		"etc/shadow":                  {Data: []byte("x"), Mode: 0o666},
		"usr/bin/helper":              {Data: []byte("x"), Mode: 0o755},
		"etc/init.d/mine":             {Data: []byte("x"), Mode: 0o700},
		"etc/conf.d/mine":             {Data: []byte("x"), Mode: 0o600},
		"etc/link":                    {Data: []byte("x"), Mode: 0o600},
		"root/secret":                 {Data: []byte("x"), Mode: 0o644},
		"home/a/.ssh/authorized_keys": {Data: []byte("x"), Mode: 0o644},
	}, userland)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"etc/shadow": 0o640, "usr/bin/helper": 0o755 | fs.ModeSetuid, "etc/init.d/mine": 0o755, "etc/conf.d/mine": 0o644,
		"etc/link":    0o644, // which becomes a file
		"root/secret": 0o600, "home/a/.ssh": fs.ModeDir | 0o700, "home/a/.ssh/authorized_keys": 0o600} {
		n, ok := over.Get(name)
		if !ok || n.Mode != want {
			t.Errorf("%s is %+v, want mode %v", name, n, want)
		}
	}
	if n, _ := over.Get("etc/shadow"); n.GID != 42 {
		t.Errorf("the shadow file's group is %d", n.GID)
	}
}

func TestServicesAreThoseThatTheUserlandHas(t *testing.T) {
	x := treeOf(t, map[string]*tree.Node{"etc/init.d/nebula": tree.File(0o755, nil)})
	if err := addServices(x, []Service{{"nebula", "default"}, {"nebula", "boot"}}); err != nil {
		t.Fatal(err)
	}
	for _, level := range []string{"default", "boot"} {
		if n, ok := x.Get("etc/runlevels/" + level + "/nebula"); !ok || n.Target != "/etc/init.d/nebula" {
			t.Errorf("%s: %+v", level, n)
		}
	}
	err := addServices(x, []Service{{"chronyd", "default"}})
	if err == nil || !strings.Contains(err.Error(), "chronyd") || !strings.Contains(step.HintOf(err), "-openrc") {
		t.Errorf("a service without a script: %v, hint %q", err, step.HintOf(err))
	}
	for text, want := range map[string]Service{"sshd": {"sshd", "default"}, "mdev:sysinit": {"mdev", "sysinit"}} {
		if got, err := ParseService(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":boot", "sshd:", "../x", "a:../x", "a:..", "a/b"} {
		if got, err := ParseService(text); err == nil {
			t.Errorf("%q became %v", text, got)
		}
	}
}

func TestTheSquashfsIsCompressedAsAsked(t *testing.T) {
	for text, want := range map[string][]string{"zstd": {"zstd", "-Xcompression-level", "9"}, "zstd:19": {"zstd", "-Xcompression-level", "19"}, "xz": {"xz"}} {
		c, err := ParseCompression(text)
		if got := c.args()[3:]; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "gzip", "zstd:", "zstd:0", "zstd:23", "zstd:x", "xz:9"} {
		if c, err := ParseCompression(text); err == nil {
			t.Errorf("%q became %v", text, c)
		}
	}
}

func TestAUserlandsNameIsOfItsOSRelease(t *testing.T) {
	for text, want := range map[string]string{
		"ID=alpine\nVERSION_ID=3.20.3\n":                     "alpine 3.20",
		"NAME=x\nID=alpine\nVERSION_ID=3.22_alpha20250108\n": "alpine 3.22_alpha20250108",
		"ID=\"wolfi\"\nVERSION_ID='20230201'\n":              "wolfi 20230201",
		"ID=debian\nVERSION_ID=\"12\"\n":                     "debian 12",
		"ID=arch\n":                                          "arch",
		"":                                                   "linux",
		"ID=a b\nVERSION_ID=\"1 filename=x\"\n":              "ab 1filenamex",
	} {
		if got := releaseName([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	x := treeOf(t, map[string]*tree.Node{"etc/os-release": tree.Symlink("../usr/lib/os-release"), "usr/lib/os-release": tree.File(0o644, []byte("ID=x\nVERSION_ID=1\n"))})
	if got, err := ReleaseName(x); err != nil || got != "x 1" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ReleaseName(tree.New()); err == nil {
		t.Errorf("without the file: %q", got)
	}
}
