package testos

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"psyopsOS/image/tree"
)

// appletDirs says where the links to busybox lie: those of /bin and /sbin
// here, as busybox itself installs them, all others in /usr/bin.
func appletDirs() map[string]string {
	return map[string]string{
		"bin": "arch ash base64 cat chgrp chmod chown cp cpio cttyhack date dd df dmesg dnsdomainname dumpkmap echo ed " +
			"egrep false fatattr fgrep getopt grep gunzip gzip hostname ionice ipcalc kill link linux32 linux64 ln login " +
			"ls lzop mkdir mknod mktemp more mount mt mv netstat nuke pidof ping ping6 ps pwd resume rev rm " +
			"rmdir run-parts sed setpriv sh sleep stat stty su sync tar touch true umount uname uncompress usleep vi " +
			"watch zcat",
		"sbin": "acpid adjtimex arp blkid blockdev depmod fdisk findfs freeramdisk fstrim getty halt hwclock " +
			"ifconfig ifdown ifup init insmod ip ipneigh klogd loadkmap logread losetup lsmod mdev mkdosfs mke2fs mkswap " +
			"modinfo modprobe nameif pivot_root poweroff reboot rmmod route run-init start-stop-daemon sulogin swapoff " +
			"swapon switch_root sysctl syslogd tc tunctl udhcpc uevent vconfig watchdog",
	}
}

// Applets for which there is a better program in the static copy although the
// dynamic one has the name: its ifup knows no internet addresses.
func fromStatic(applet string) bool { return applet == "ifup" || applet == "ifdown" }

// notOurs are applets that would pretend to be a package manager, or that
// nothing may call by accident.
func notOurs(applet string) bool {
	return slices.Contains([]string{"dpkg", "dpkg-deb", "rpm", "rpm2cpio", "busybox", "linuxrc"}, applet)
}

// addBusyboxLinks makes a link for each applet, but never over a packaged
// file.
func addBusyboxLinks(t *tree.Tree) error {
	links := tree.New()
	for _, program := range []string{"busybox", "busybox.static"} {
		applets, err := appletsIn(t, program)
		if err != nil {
			return err
		}
		for _, applet := range applets {
			at := path.Join(appletDir(applet), applet)
			if notOurs(applet) || links.Has(at) || program == "busybox" && fromStatic(applet) {
				continue
			}
			if err := links.Add(at, tree.Symlink("/bin/"+program)); err != nil {
				return err
			}
		}
	}
	return t.Merge(links, tree.Under)
}

func appletDir(applet string) string {
	for dir, applets := range appletDirs() {
		if slices.Contains(strings.Fields(applets), applet) {
			return dir
		}
	}
	return "usr/bin"
}

func appletsIn(t *tree.Tree, program string) ([]string, error) {
	at, err := t.Follow("bin/" + program)
	if err != nil {
		return nil, err
	}
	n, ok := t.Get(at)
	if !ok {
		return nil, fmt.Errorf("the packages did not bring bin/%s", program)
	}
	content, err := n.Content()
	if err != nil {
		return nil, err
	}
	applets, err := parseApplets(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	return applets, nil
}

// parseApplets finds the names of the applets in busybox's program file: a
// sorted table of strings that begins with "[" and "[[". So the program need
// not run on the build machine.
func parseApplets(program []byte) ([]string, error) {
	first := []byte("[\x00[[\x00")
	for rest := program; ; rest = rest[1:] {
		start := bytes.Index(rest, first)
		if start < 0 {
			return nil, errors.New("no table of applets with mount and sh in it")
		}
		rest = rest[start:]
		if applets := tableAt(rest); slices.Contains(applets, "sh") && slices.Contains(applets, "mount") {
			return applets, nil
		}
	}
}

// tableAt reads names as long as they are names and in order.
func tableAt(table []byte) []string {
	var applets []string
	for name := range bytes.SplitSeq(table, []byte{0}) {
		if !isAppletName(name) || len(applets) > 1 && string(name) <= applets[len(applets)-1] {
			break
		}
		applets = append(applets, string(name))
	}
	return applets
}

func isAppletName(name []byte) bool {
	return len(name) > 0 && len(name) < 32 && strings.Trim(string(name), "abcdefghijklmnopqrstuvwxyz0123456789[-_") == ""
}
