package alpine_test

import (
	"archive/tar"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/image/tree"
)

func text(t *testing.T, x *tree.Tree, name string) string {
	t.Helper()
	content, err := fs.ReadFile(x.FS(), name)
	must(t, err)
	return string(content)
}

// node is a userland with an ssh server whose package makes its accounts.
func node(t *testing.T) alpine.Userland {
	t.Helper()
	by, dir := signer(t, "k.rsa.pub"), t.TempDir()
	sshd := alpinetest.New("openssh", "9.7_p1-r4", by).File("usr/sbin/sshd", 0o755, "sshd").File("etc/init.d/sshd", 0o755, "x").
		Add(tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/slogin", Linkname: "ssh", Uname: "root", Gname: "root"}).
		Add(tar.Header{Typeflag: tar.TypeDir, Name: "var/empty", Mode: 0o750, Uname: "sshd", Gname: "sshd", Uid: 22, Gid: 22}).
		Add(tar.Header{Typeflag: tar.TypeReg, Name: "var/empty/note", Mode: 0o640, Uname: "sshd", Gname: "tty", Uid: 999}).
		Add(tar.Header{Typeflag: tar.TypeLink, Name: "var/empty/note2", Linkname: "var/empty/note", Uname: "sshd"}).
		Add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/ping", Mode: 0o4755, Uname: "root", Gname: "root", PAXRecords: map[string]string{"SCHILY.xattr.user.note": "n"}}).
		Add(tar.Header{Typeflag: tar.TypeReg, Name: "srv/x", Mode: 0o644, Uname: "builder", Gname: "root", Uid: 1000})
	sshd.Scripts["pre-install"] = "#!/bin/sh\n\naddgroup -S sshd 2>/dev/null\nadduser -S -D -H -h /var/empty -s /sbin/nologin -G sshd -g sshd sshd 2>/dev/null\nadduser sshd tty\n\nexit 0\n"
	sshd.Scripts["post-install"] = "ssh-keygen -A # keys\n"
	sshd.Depends = world("alpine-baselayout busybox openrc")
	must(t, alpinetest.Repository(dir, by, append(alpinetest.Base(by), sshd)...))
	u, err := install(t, client(t), "openssh", alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)})
	must(t, err)
	return u
}

func TestOwnersModesAndLinksAreAsTheyAreAfterApk(t *testing.T) {
	u := node(t)
	for name, want := range map[string]string{
		"tmp": "dtrwxrwxrwx 0:0", "root": "drwx------ 0:0", "var/empty": "drwxr-x--- 100:100", "var/empty/note": "-rw-r----- 100:5",
		"bin/ping": "urwxr-xr-x 0:0", "etc/shadow": "-rw-r----- 0:42", "srv/x": "-rw-r--r-- 1000:0",
		"bin/sh": "Lrwxrwxrwx 0:0 /bin/busybox", "usr/bin/vi": "Lrwxrwxrwx 0:0 /bin/busybox", "usr/bin/slogin": "Lrwxrwxrwx 0:0 ssh",
		"dev/null": "Dcrw-rw-rw- 0:0", "etc/runlevels/sysinit/devfs": "Lrwxrwxrwx 0:0 /etc/init.d/devfs", "etc/runlevels/default/sshd": "Lrwxrwxrwx 0:0 /etc/init.d/sshd",
	} {
		n, ok := u.Tree.Get(name)
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		if got := strings.TrimSpace(fmt.Sprintf("%v %d:%d %s", n.Mode, n.UID, n.GID, n.Target)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	one, _ := u.Tree.Get("var/empty/note")
	two, _ := u.Tree.Get("var/empty/note2")
	if one != two {
		t.Error("the hard link became a copy")
	}
	if ping, _ := u.Tree.Get("bin/ping"); ping.Xattrs["user.note"] != "n" {
		t.Error("the extended attribute is gone")
	}
	if n, _ := u.Tree.Get("bin/busybox"); !n.Mode.IsRegular() {
		t.Error("busybox was replaced by a link to itself")
	}
	if u.Tree.Has("etc/runlevels/boot/networking") {
		t.Error("a service that nobody brought is enabled")
	}
}

func TestAccountsThatScriptsMakeAreMadeWithoutRunningThem(t *testing.T) {
	u := node(t)
	for name, want := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:100:sshd:/var/empty:/sbin/nologin\n",
		"etc/group":  "root:x:0:root\nshadow:x:42:\ntty:x:5:sshd\nsshd:x:100:\n",
		"etc/shadow": "root:*::0:::::\nsshd:!::0:::::\n",
	} {
		if got := text(t, u.Tree, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestWhatOnlyAScriptCouldDoIsTold(t *testing.T) {
	u := node(t)
	for _, want := range []string{
		"openssh-9.7_p1-r4: post-install: not run: ssh-keygen -A",
		"openssh-9.7_p1-r4: srv/x: its owner builder:root is unknown here, and stays number 1000:0",
		"service networking (boot): no package brought /etc/init.d/networking",
	} {
		if !slices.Contains(u.Undone, want) {
			t.Errorf("%q is not among\n%s", want, strings.Join(u.Undone, "\n"))
		}
	}
	if all := strings.Join(u.Undone, "\n"); strings.Contains(all, "busybox") || strings.Contains(all, "adduser") {
		t.Errorf("what was done is told as undone:\n%s", all)
	}
}

func TestApkFindsItsDatabase(t *testing.T) {
	u := node(t)
	q1 := func(s string) string {
		sum := sha1.Sum([]byte(s))
		return "Q1" + base64.StdEncoding.EncodeToString(sum[:])
	}
	installed := text(t, u.Tree, "lib/apk/db/installed")
	for _, want := range []string{
		"P:openssh\nV:9.7_p1-r4\nA:x86_64\n",
		"F:tmp\nM:0:0:1777\n",
		"F:var/empty\nM:100:100:750\nR:note\na:100:5:640\nZ:" + q1("") + "\n",
		"F:bin\nR:ping\na:0:0:4755\nZ:",
		"R:slogin\na:0:0:777\nZ:" + q1("ssh") + "\n",
		"R:sshd\na:0:0:755\nZ:" + q1("sshd") + "\n",
		"D:alpine-baselayout busybox openrc\n",
	} {
		if !strings.Contains(installed, want) {
			t.Errorf("%q is not in\n%s", want, installed)
		}
	}
	if got := text(t, u.Tree, "etc/apk/world"); got != "openssh\n" {
		t.Errorf("world is %q", got)
	}
	if got := text(t, u.Tree, "etc/apk/arch"); got != "x86_64\n" {
		t.Errorf("arch is %q", got)
	}
	names := ""
	for r := tar.NewReader(strings.NewReader(text(t, u.Tree, "lib/apk/db/scripts.tar"))); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names += h.Name + "\n"
	}
	if !strings.Contains(names, "openssh-9.7_p1-r4.Q1") || strings.Count(names, "\n") != 3 {
		t.Errorf("scripts.tar has %s", names)
	}
}

func TestTwoPackagesWithOneFile(t *testing.T) {
	for _, c := range []struct {
		name, want, err string
		change          func(a, b *alpinetest.Package)
	}{
		{"are refused", "", "both a-1 and b-1 have it", func(a, b *alpinetest.Package) {}},
		{"unless the second replaces the first", "b", "", func(a, b *alpinetest.Package) { b.Replaces = world("a") }},
		{"or the first the second", "a", "", func(a, b *alpinetest.Package) { a.Replaces = world("b") }},
		{"or both are of one source", "b", "", func(a, b *alpinetest.Package) { b.Origin = a.Origin }},
		{"but not another version of it", "", "both", func(a, b *alpinetest.Package) { b.Replaces = world("a<1") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			by, dir := signer(t, "k.rsa.pub"), t.TempDir()
			a, b := alpinetest.New("a", "1", by).File("f", 0o644, "a"), alpinetest.New("b", "1", by).File("f", 0o644, "b")
			c.change(&a, &b)
			must(t, alpinetest.Repository(dir, by, a, b))
			u, err := install(t, client(t), "a b", alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)})
			wantError(t, err, c.err)
			if err != nil {
				return
			}
			if got := text(t, u.Tree, "f"); got != c.want {
				t.Errorf("the file is %s's", got)
			}
			if n := strings.Count(text(t, u.Tree, "lib/apk/db/installed"), "R:f\n"); n != 1 {
				t.Errorf("the database has the file %d times", n)
			}
		})
	}
}

func TestABusyboxThatListsNoLinksIsRefused(t *testing.T) {
	by, dir := signer(t, "k.rsa.pub"), t.TempDir()
	must(t, alpinetest.Repository(dir, by, alpinetest.New("busybox", "1", by).File("bin/busybox", 0o755, "x")))
	_, err := install(t, client(t), "busybox", alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)})
	wantError(t, err, "does not say which links it wants")
}
