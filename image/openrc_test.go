package image

import (
	"slices"
	"strings"
	"testing"

	"psyopsOS/image/tree"
	"psyopsOS/step"
)

func userlandOf(t *testing.T, names ...string) *tree.Tree {
	t.Helper()
	x := tree.New()
	for _, name := range names {
		n := tree.File(0o755, nil)
		if at, to, ok := strings.Cut(name, " -> "); ok {
			name, n = at, tree.Symlink(to)
		}
		if err := x.Add(name, n); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func TestTheProgramThatBecomesPID1MustBeThere(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		init  string
		hint  string // empty: it is there
	}{
		{"a link to it, through a link", []string{"sbin -> usr/sbin", "usr/sbin/init -> /bin/busybox", "bin/busybox"}, "", ""},
		{"a link to nothing", []string{"sbin/init -> /bin/busybox"}, "", "overlay"},
		{"none", []string{"bin/sh"}, "", "init=/bin/sh"},
		{"systemd elsewhere", []string{"bin/sh", "usr/lib/systemd/systemd"}, "", "init=/usr/lib/systemd/systemd"},
		{"another one that was named", []string{"bin/sh"}, "/bin/sh", ""},
		{"another one that is not there", []string{"sbin/init"}, "/bin/zsh", "overlay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckInit(userlandOf(t, c.files...), c.init)
			if (err == nil) != (c.hint == "") || !strings.Contains(step.HintOf(err), c.hint) {
				t.Errorf("got %v, hint %q", err, step.HintOf(err))
			}
		})
	}
}

func TestOpenRCIsFoundWhereverItLies(t *testing.T) {
	for file, want := range map[string]bool{"sbin/openrc": true, "usr/sbin/openrc": true, "sbin/init": false} {
		if got := HasOpenRC(userlandOf(t, file)); got != want {
			t.Errorf("with %s: %v", file, got)
		}
	}
}

func TestAContainersMarksAreTakenOut(t *testing.T) {
	x := userlandOf(t, ".dockerenv", "etc/passwd")
	if gone := FromContainer(x); !slices.Equal(gone, []string{".dockerenv"}) || x.Has(".dockerenv") || !x.Has("etc/passwd") {
		t.Errorf("gone: %v", gone)
	}
}
