package testos

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"psyopsOS/image/tree"
)

// modes are the permissions of the embedded files, which have none of their
// own.
func modes(name string, info fs.FileInfo) fs.FileMode {
	dir := path.Dir(name)
	switch {
	case info.IsDir(), dir == "etc/init.d", strings.HasPrefix(name, "usr/libexec/"), strings.HasSuffix(name, ".script"):
		return 0o755
	case name == "etc/shadow":
		return 0o600
	}
	return 0o644
}

// addFolders makes what no package brings, and device nodes for a kernel
// that starts init without an initramfs.
func addFolders(t *tree.Tree) error {
	nodes := map[string]*tree.Node{
		"etc/mtab":  tree.Symlink("/proc/mounts"),
		"var/run":   tree.Symlink("/run"),
		"var/lock":  tree.Symlink("/run/lock"),
		"tmp":       tree.Dir(fs.ModeSticky | 0o777),
		"var/tmp":   tree.Dir(fs.ModeSticky | 0o777),
		"root":      tree.Dir(0o700),
		"root/.ssh": tree.Dir(0o700),
		"dev/null":  tree.CharDevice(0o666, 1, 3),
		// Without a console that it can open, the kernel starts init without
		// file descriptors.
		"dev/console": tree.CharDevice(0o600, 5, 1),
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "mnt", "media", "home", "opt", "srv",
		"etc/insserv.conf.d", // OpenRC complains about it for each service where it is missing
		"etc/local.d", "etc/modprobe.d", "etc/modules-load.d", "etc/sysctl.d", "etc/profile.d", "etc/conf.d",
		"etc/network/if-pre-up.d", "etc/network/if-up.d", "etc/network/if-down.d", "etc/network/if-post-down.d",
		"usr/local/bin", "usr/local/sbin", "var/cache", "var/empty", "var/lib", "var/log", "var/spool"} {
		nodes[dir] = tree.Dir(0o755)
	}
	// Sorted: what is made as a parent of another must not depend on chance.
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if err := t.Add(name, nodes[name]); err != nil {
			return err
		}
	}
	return nil
}

// services are the links in OpenRC's run levels: what psyopsOS enables, and
// the network, so that a node can be reached.
func services() map[string][]string {
	return map[string][]string{
		"sysinit":  {"devfs", "dmesg", "mdev", "hwdrivers", "modloop"},
		"boot":     {"hwclock", "modules", "sysctl", "hostname", "bootmisc", "syslog", "seedrng", "loopback", "networking"},
		"default":  {"local", "sshd"},
		"shutdown": {"mount-ro", "killprocs", "savecache"},
	}
}

// programs are what a service is for, where that may not be installed: then
// the service is passed over.
func programs() map[string]string {
	return map[string]string{"sshd": "usr/sbin/sshd"}
}

// addServices replaces the packages' choice of services by ours.
func addServices(t *tree.Tree) error {
	for level, names := range services() { // the order changes nothing
		if err := t.Add(path.Join("etc/runlevels", level), tree.Dir(0o755)); err != nil {
			return err
		}
		for _, name := range names {
			if program := programs()[name]; program != "" && !t.Has(program) {
				continue
			}
			if err := t.Add(path.Join("etc/runlevels", level, name), tree.Symlink("/etc/init.d/"+name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergeUsr makes links of /bin, /sbin and /lib where the distribution has
// moved their files below /usr, as Debian has since release 13. Before that
// they are folders, as they are on Alpine.
func mergeUsr(t *tree.Tree) error {
	if !t.Has("usr/bin/busybox") {
		return nil
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		old := t.Sub(dir)
		t.Remove(dir)
		for name, n := range old.All() {
			if name == "." {
				continue
			}
			if err := t.Add(path.Join("usr", dir, name), n); err != nil {
				return err
			}
		}
		if err := t.Add(path.Join("usr", dir), tree.Dir(0o755)); err != nil {
			return err
		}
		if err := t.Add(dir, tree.Symlink("usr/"+dir)); err != nil {
			return err
		}
	}
	return nil
}

// unwanted are folders and files of which a node has no use.
func unwanted() []string {
	return []string{
		"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug",
		"usr/share/initramfs-tools", "usr/share/bash-completion", "usr/share/zsh", "usr/share/apport", "usr/share/gdb",
		"lib/systemd", "usr/lib/systemd", "lib/udev", "usr/lib/udev", "usr/lib/tmpfiles.d", "usr/lib/sysusers.d",
		"etc/init.d", "etc/runlevels", "etc/pam.d", "etc/runit", "etc/sv", "etc/ufw", "etc/default", "etc/logrotate.d",
		"etc/cron.daily", "etc/insserv.conf", "etc/rc.conf",
		"usr/lib/openssh/ssh-sk-helper", "usr/lib/runit-helper",
		"usr/share/runit", "usr/share/libgcrypt20", "usr/share/polkit-1", "usr/share/openssh", "usr/lib/nebula",
		"var/log/runit", "var/lib/dpkg", "etc/dpkg", "etc/alternatives",
	}
}

// trim takes out of a package what is not wanted.
func trim(name string, t *tree.Tree) {
	for _, dir := range unwanted() {
		t.Remove(dir)
	}
	// iconv's tables are 8 MB, and nothing here converts text.
	t.RemoveFunc(func(name string, n *tree.Node) bool { return n.Mode.IsDir() && path.Base(name) == "gconv" })
	switch name {
	case "dpkg":
		keepOnly(t, "start-stop-daemon")
	case "busybox-static":
		for _, dir := range []string{"bin", "usr/bin"} {
			if n, ok := t.Get(dir + "/busybox"); ok {
				t.Remove(dir + "/busybox")
				if err := t.Add(dir+"/busybox.static", n); err == nil {
					keepOnly(t, "busybox.static")
				}
			}
		}
	}
}

// keepOnly removes all but the file of this name and the folders it is in.
func keepOnly(t *tree.Tree, base string) {
	var kept string
	for name := range t.All() {
		if path.Base(name) == base {
			kept = name
		}
	}
	t.RemoveFunc(func(name string, _ *tree.Node) bool { return !strings.HasPrefix(kept+"/", name+"/") })
}
