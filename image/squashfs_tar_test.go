package image

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/squashfs"

	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// capable is a tree with a capability in it, which is an extended attribute,
// and with all that is hard to keep beside it.
func capable(t *testing.T) *tree.Tree {
	t.Helper()
	x := tree.New()
	x.SetRoot(0o711, 0, 0)
	ping := tree.File(0o755, []byte("ping"))
	ping.Xattrs = map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x20" + strings.Repeat("\x00", 14), "user.note": "here"}
	su := tree.File(fs.ModeSetuid|0o755, []byte("su")).With(fs.ModeSetuid|0o755, 7, 8)
	for name, n := range map[string]*tree.Node{"bin/ping": ping, "bin/ping4": ping, "bin/su": su, "bin/sh": tree.Symlink("su"),
		"dev/null": tree.CharDevice(0o666, 1, 3), "run/pipe": {Mode: fs.ModeNamedPipe | 0o640}, "home/user": tree.Dir(0o750).With(0o750, 1000, 100)} {
		if err := x.Add(name, n); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func TestExtendedAttributesAreKept(t *testing.T) {
	out := filepath.Join(t.TempDir(), "squashfs")
	if err := writeSquashfs(t.Context(), capable(t), time.Unix(1700000000, 0), Compression{}, out); err != nil {
		t.Fatal(err)
	}
	list := listSquashfs(t, out)
	for _, want := range []string{"drwx--x--x 0/0 /", "-rwsr-xr-x 7/8 /bin/su", "lrwxrwxrwx 0/0 /bin/sh -> su", "crw-rw-rw- 0/0 /dev/null 1,3",
		"prw-r----- 0/0 /run/pipe", "drwxr-x--- 1000/100 /home/user"} {
		if !slices.Contains(list, want) {
			t.Errorf("%q is not in it:\n%s", want, strings.Join(list, "\n"))
		}
	}
	// Read by another reader of the format, so that neither the test's folder nor
	// its user need be able to have such attributes. It leaves out the name space.
	for _, name := range []string{"bin/ping", "bin/ping4"} {
		got := xattrsIn(t, out, name)
		for key, want := range map[string]string{"note": "here", "capability": capability(t)} {
			if got[key] != want {
				t.Errorf("%s of %s is %q", key, name, got[key])
			}
		}
	}
}

func xattrsIn(t *testing.T, image, name string) map[string]string {
	t.Helper()
	f, err := file.OpenFromPath(image, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	root, err := squashfs.Read(f, info.Size(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	found, err := root.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	of, ok := found.Sys().(*squashfs.StatT)
	if !ok {
		t.Fatalf("%s is told as a %T", name, found.Sys())
	}
	return of.Xattrs
}

const makesItEnv = "PSYOPSOS_TEST_SQUASHFS"

// TestExtendedAttributesAreKeptWhoeverMakesIt makes the same squashfs as two
// users, one of them root: the other's own number would otherwise be the root
// folder's owner.
func TestExtendedAttributesAreKeptWhoeverMakesIt(t *testing.T) {
	make := func(out string) error {
		return writeSquashfs(t.Context(), capable(t), time.Unix(1700000000, 0), Compression{}, out)
	}
	if out := os.Getenv(makesItEnv); out != "" {
		if err := make(out); err != nil {
			t.Fatalf("%v; hint: %s", err, step.HintOf(err))
		}
		return
	}
	dir, err := os.MkdirTemp("", "squashfs-") // t.TempDir is this user's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test")
	if err := os.WriteFile(program, read(t, os.Args[0]), 0o755); err != nil {
		t.Fatal(err)
	}
	mine, other := make(filepath.Join(dir, "mine")), exec.Command(program, "-test.run", "^"+t.Name()+"$")
	other.Dir, other.Env = dir, append(os.Environ(), makesItEnv+"="+filepath.Join(dir, "other"))
	other.SysProcAttr = anotherUser()
	said, err := other.CombinedOutput()
	if refused := fmt.Sprintf("%v; hint: %s\n%s", mine, step.HintOf(mine), said); strings.Contains(refused, "operation not permitted") || strings.Contains(refused, "no space left on device") {
		// No user namespaces here, not even for this: root alone can make it,
		// and nobody else can without being told what to set.
		if !strings.Contains(refused, "kernel.unprivileged_userns_clone=1") {
			t.Errorf("a user who is refused is not told what to set: %s", refused)
		}
		return
	}
	if mine != nil || err != nil {
		t.Fatalf("%v; %v: %s", mine, err, said)
	}
	sum := func(name string) string { return fmt.Sprintf("%x", sha256.Sum256(read(t, filepath.Join(dir, name)))) }
	if sum("mine") != sum("other") {
		t.Errorf("the squashfs of another user differs from mine:\n%s", strings.Join(listSquashfs(t, filepath.Join(dir, "other")), "\n"))
	}
}

// anotherUser makes a process nobody's where this one is root's, and else that
// of the root of a user namespace: the two ways in which tk may be run.
func anotherUser() *syscall.SysProcAttr {
	if os.Geteuid() == 0 {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}}
}

func TestWhatATarForMksquashfsCannotHoldIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		root *tree.Node
		want string
	}{
		{"attributes of the root", &tree.Node{Mode: fs.ModeDir | 0o755, Xattrs: map[string]string{"user.x": "y"}}, "attributes of the root folder"},
		{"a root that is another's", tree.Dir(0o755).With(0o755, 7, 7), "belongs to 7:7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := capable(t)
			if err := x.Put(".", c.root); err != nil {
				t.Fatal(err)
			}
			err := writeSquashfs(t.Context(), x, time.Unix(0, 0), Compression{}, filepath.Join(t.TempDir(), "squashfs"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one with %q", err, c.want)
			}
		})
	}
}

func capability(t *testing.T) string {
	n, _ := capable(t).Get("bin/ping")
	return n.Xattrs["security.capability"]
}
