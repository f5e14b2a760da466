package testos

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"psyopsOS/image/debian"
	"psyopsOS/image/debian/debtest"
	"psyopsOS/image/tree"
)

// program is a file that has busybox's table of applets in it.
func program(applets ...string) string {
	return "\x00\x14\x00[\x00[[\x00" + strings.Join(applets, "\x00") + "\x00\x00Usage\x00"
}

// packages are stand-ins for Debian's, before and since its /usr was merged.
func packages(usr string) map[string]map[string]string {
	return map[string]map[string]string{
		"busybox":        {usr + "bin/busybox": program("cat", "ifup", "init", "mount", "rpm", "sh", "start-stop-daemon", "vi"), "usr/share/doc/busybox/copyright": "x"},
		"busybox-static": {usr + "bin/busybox": program("cat", "ifup", "mount", "passwd", "sh"), "usr/share/initramfs-tools/hook": "x"},
		"dpkg":           {usr + "sbin/start-stop-daemon": "ssd", "usr/bin/dpkg": "x", "var/lib/dpkg/info/": ""},
		"libc6":          {usr + "lib64/ld-linux-x86-64.so.2": "-> ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", usr + "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": "ld", "usr/lib/x86_64-linux-gnu/gconv/BIG5.so": "x"},
		"openrc": {usr + "sbin/openrc": "rc", usr + "sbin/openrc-run": "rc", usr + "bin/rc-status": "rc", usr + "lib/rc/sh/openrc-run.sh": "sh",
			"etc/init.d/agetty": "x", "etc/runlevels/nonetwork/local": "-> ../../init.d/local", usr + "lib/systemd/system/x.service": "x"},
		"nebula":         {"usr/bin/nebula": "nebula"},
		"openssh-server": {"usr/sbin/sshd": "sshd", "etc/init.d/ssh": "x", "etc/pam.d/sshd": "x"},
	}
}

// build makes a userland of stand-ins, as change leaves them.
func build(t *testing.T, all map[string]map[string]string) (*tree.Tree, error) {
	t.Helper()
	var list []debian.Package
	var files []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		deb, err := debtest.Deb("data.tar.gz", all[name])
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name+".deb")
		if err := os.WriteFile(file, deb, 0o644); err != nil {
			t.Fatal(err)
		}
		list, files = append(list, debian.Package{Name: name, Version: "1"}), append(files, file)
	}
	return Build(list, files)
}

func TestTheUserlandIsLaidOutAsAlpineIs(t *testing.T) {
	for _, c := range []struct {
		name, usr string
		want      map[string]string // path → content, or "-> target", or "none"
	}{
		{"of packages with /bin, /sbin and /lib", "", map[string]string{
			"bin/busybox": packages("")["busybox"]["bin/busybox"], "sbin/start-stop-daemon": "ssd", "bin/sh": "-> /bin/busybox"}},
		{"of packages with all of it in /usr", "usr/", map[string]string{
			"bin": "-> usr/bin", "sbin": "-> usr/sbin", "lib": "-> usr/lib", "lib64": "-> usr/lib64",
			"usr/sbin/start-stop-daemon": "ssd", "usr/bin/sh": "-> /bin/busybox"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := build(t, packages(c.usr))
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(c.want, map[string]string{
				"usr/bin/dpkg": "none", "usr/share/doc": "none", "etc/init.d/agetty": "none", "etc/init.d/ssh": "none", "etc/pam.d": "none",
				"lib/systemd": "none", "usr/lib/systemd": "none", "etc/runlevels/nonetwork": "none", "usr/lib/x86_64-linux-gnu/gconv": "none",
				"var/lib/dpkg": "none", c.usr + "bin/rpm": "none", "usr/bin/rpm": "none",
				c.usr + "sbin/ifup": "-> /bin/busybox.static", "usr/bin/passwd": "-> /bin/busybox.static",
				"etc/runlevels/default/sshd": "-> /etc/init.d/sshd", "var/run": "-> /run", "etc/insserv.conf": "",
			})
			for name, want := range c.want {
				if got := at(t, x, name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			checkModes(t, x)
		})
	}
}

func at(t *testing.T, x *tree.Tree, name string) string {
	t.Helper()
	n, ok := x.Get(name)
	switch {
	case !ok:
		return "none"
	case n.Mode.Type() == fs.ModeSymlink:
		return "-> " + n.Target
	case n.Mode.IsDir():
		return "folder"
	}
	content, err := n.Content()
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func checkModes(t *testing.T, x *tree.Tree) {
	t.Helper()
	for name, want := range map[string]fs.FileMode{"root": fs.ModeDir | 0o700, "root/.ssh": fs.ModeDir | 0o700, "tmp": fs.ModeDir | fs.ModeSticky | 0o777,
		"etc/shadow": 0o600, "etc/passwd": 0o644, "etc/init.d/sshd": 0o755, "etc/udhcpc/default.script": 0o755, "usr/libexec/testos/console-login": 0o755,
		"etc/inittab": 0o644, "dev/console": fs.ModeDevice | fs.ModeCharDevice | 0o600, "run": fs.ModeDir | 0o755} {
		if n, ok := x.Get(name); !ok || n.Mode != want {
			t.Errorf("%s is %+v, want the mode %v", name, n, want)
		}
	}
}

func TestAUserlandThatCouldNotRunIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(map[string]map[string]string)
		want   string
	}{
		{"without start-stop-daemon", func(p map[string]map[string]string) {
			delete(p, "dpkg")
			p["busybox"]["bin/busybox"] = program("init", "mount", "sh")
		}, "did not bring sbin/start-stop-daemon"},
		{"without a loader", func(p map[string]map[string]string) { delete(p["libc6"], "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2") }, "did not bring lib64/ld-linux"},
		{"with a busybox without applets", func(p map[string]map[string]string) { p["busybox"]["bin/busybox"] = "busybox" }, "busybox: no table of applets"},
		{"without busybox", func(p map[string]map[string]string) { delete(p, "busybox") }, "did not bring bin/busybox"},
		{"with a program whose library is missing", func(p map[string]map[string]string) {
			sh, err := os.ReadFile("/bin/sh") // a dynamic program of the build machine
			if err != nil {
				panic(err)
			}
			p["openrc"]["sbin/openrc"] = string(sh)
		}, "sbin/openrc needs libc.so.6"},
		{"with packages that contradict one another", func(p map[string]map[string]string) {
			p["openrc"]["usr/share/x"], p["dpkg2"] = "file", map[string]string{"usr/share/x/y": "z"}
		}, "package openrc=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := packages("")
			c.change(p)
			if _, err := build(t, p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestWithoutAProgramThereIsNoServiceForIt(t *testing.T) {
	p := packages("")
	delete(p, "openssh-server")
	x, err := build(t, p)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"sshd": false, "local": true} {
		if got := x.Has("etc/runlevels/default/" + name); got != want {
			t.Errorf("the link of %s is there: %v", name, got)
		}
	}
}

func TestEveryEnabledServiceIsThere(t *testing.T) {
	ours, err := Overlay()
	if err != nil {
		t.Fatal(err)
	}
	for level, names := range services() {
		for _, name := range names {
			if !ours.Has("etc/init.d/" + name) {
				t.Errorf("%s enables %s, which is not there", level, name)
			}
		}
	}
}

// TestTheServicesKeepTheirContracts asks each service's depend function, with
// the shell, and compares with the table in TESTOS.md.
func TestTheServicesKeepTheirContracts(t *testing.T) {
	for name, want := range map[string]string{
		"devfs":      "provide dev-mount;before dev",
		"dmesg":      "before dev modules",
		"mdev":       "provide dev;need sysfs dev-mount",
		"modloop":    "after dev-mount;before hwdrivers modules hwclock dev sysfs",
		"hwdrivers":  "need sysfs dev;after modloop",
		"modules":    "before hwclock hwdrivers",
		"bootmisc":   "need localmount;before logger",
		"syslog":     "provide logger",
		"networking": "need localmount hostname;after bootmisc hwdrivers modules;provide net",
		"seedrng":    "provide urandom",
		"local":      "after *",
		"sshd":       "use logger dns;after entropy",
		"mount-ro":   "after killprocs savecache",
		"sysfs":      "", "hwclock": "", "sysctl": "", "hostname": "", "fsck": "", "root": "", "localmount": "", "loopback": "", "killprocs": "", "savecache": "",
	} {
		t.Run(name, func(t *testing.T) {
			got := depends(t, name)
			for clause := range strings.SplitSeq(want, ";") {
				words := strings.Fields(clause)
				for i := 1; i < len(words); i++ {
					if !slices.Contains(got[words[0]], words[i]) {
						t.Errorf("%s has not %q, only %v", words[0], words[i], got[words[0]])
					}
				}
			}
		})
	}
}

func depends(t *testing.T, service string) map[string][]string {
	t.Helper()
	script := `set -f
for word in provide need use want before after; do eval "$word() { echo $word \$*; }"; done
keyword() { :; }
. ` + filepath.Join("overlay/etc/init.d", service) + "\ndepend\n"
	cmd := exec.Command("sh")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(script, ". overlay", ". ./overlay"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		all[words[0]] = append(all[words[0]], words[1:]...)
	}
	return all
}

func TestEveryScriptIsShell(t *testing.T) {
	ours, err := Overlay()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for name, n := range ours.All() {
		if n.Mode.IsDir() || n.Mode&0o111 == 0 {
			continue
		}
		if out, err := exec.Command("sh", "-n", filepath.Join("overlay", name)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		checked++
	}
	if checked < 25 {
		t.Errorf("only %d scripts were checked", checked)
	}
}

func TestUsersAndGroups(t *testing.T) {
	for file, colons := range map[string]int{"passwd": 6, "shadow": 8, "group": 3} {
		content, err := os.ReadFile(filepath.Join("overlay/etc", file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if strings.Count(line, ":") != colons {
				t.Errorf("%s: %q has not %d colons", file, line, colons)
			}
		}
		for _, want := range map[string][]string{"group": {"tty:x:5:", "utmp:x:", "uucp:x:"}, "passwd": {"root:x:0:0:", "sshd:x:"}, "shadow": {"root::", "sshd:!:"}}[file] {
			if !strings.Contains("\n"+string(content), "\n"+want) {
				t.Errorf("%s has no line %q", file, want)
			}
		}
	}
}

func TestParseApplets(t *testing.T) {
	for _, c := range []struct {
		name, program string
		want          []string
		err           string
	}{
		{"the table ends at an empty name", program("cat", "mount", "sh"), []string{"[", "[[", "cat", "mount", "sh"}, ""},
		{"the table ends where the order does", "\x00[\x00[[\x00mount\x00sh\x00a\x00", []string{"[", "[[", "mount", "sh"}, ""},
		{"no table", "#!/bin/sh", nil, "no table"},
		{"something else that looks like one", "\x00[\x00[[\x00x\x00", nil, "no table"},
		{"the table comes after something that looks like it", "[\x00[[\x00x\x00 [\x00[[\x00mount\x00sh\x00", []string{"[", "[[", "mount", "sh"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseApplets([]byte(c.program))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want one with %q", err, c.err)
				}
			} else if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func FuzzParseApplets(f *testing.F) {
	f.Add([]byte(program("mount", "sh")))
	f.Fuzz(func(t *testing.T, data []byte) {
		applets, err := parseApplets(data)
		if err != nil {
			return
		}
		for _, name := range applets {
			if tree.CheckName(name) != nil || strings.Contains(name, "/") {
				t.Errorf("%q is no applet", name)
			}
		}
	})
}
