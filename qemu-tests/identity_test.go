//go:build qemu

package qemutests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// onDisk is the booted disk of a machine, without a copy of it in between.
func onDisk(path string) []vm.Disk { return []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}} }

// isNode wants the boot to learn that this node is called name.
func (g *Guest) isNode(name string) {
	g.t.Helper()
	if got := g.Fact("nodename"); got != name {
		g.t.Errorf("this node is %v, want %s", got, name)
	}
}

// Issue 3, test 1: whatever is wrong with the volume is told, and the boot
// goes on.
func TestWithoutAUsableVolumeTheNodeIsUnconfigured(t *testing.T) {
	damaged := func(t *testing.T, offset, length int) string {
		path := secretVolume(t, demoNode(t))
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", length)), int64(offset)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name   string
		volume func(*testing.T) string
		warns  string
	}{
		{"no volume", func(*testing.T) string { return "" }, "no volume labelled psyops-secret"},
		{"a superblock of garbage", func(t *testing.T) string { return damaged(t, 1024, 1024) }, "no volume labelled psyops-secret"},
		{"a root folder of garbage", func(t *testing.T) string {
			return damaged(t, rootInode(t, secretVolume(t, demoNode(t))), 256)
		}, "/dev/vda2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := boot(t, Scenario{Disks: onDisk(diskWithSecret(t, c.volume(t)))})
			g.Warns(c.warns)
			g.isNode(layout.Unconfigured)
			g.HandsOver()
		})
	}
}

// rootInode is where the root folder's inode lies on a volume of
// secretVolume, by debugfs.
func rootInode(t testing.TB, volume string) int {
	t.Helper()
	var block, offset int
	// "Inode 2 is part of block group 0\n\tlocated at block 9, offset 0x0100"
	text := run(t, "/sbin/debugfs", "-R", "imap <2>", volume)
	_, place, found := strings.Cut(text, "located at ")
	if _, err := fmt.Sscanf(place, "block %d, offset 0x%x", &block, &offset); !found || err != nil {
		t.Fatalf("debugfs says %q: %v", text, err)
	}
	return block*4096 + offset
}

// A new node can be reached: DHCP, and a host key of this boot.
func TestANodeWithAnEmptyVolumeIsReachable(t *testing.T) {
	port, err := vm.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, Scenario{Disks: onDisk(diskWithSecret(t, secretVolume(t, nil))), Machine: vm.Machine{NICs: []vm.NIC{{SSH: port}}}})
	g.isNode(layout.Unconfigured)
	g.HandsOver()
	g.AnswersSSH(port)
	g.Login()
	g.Prints("hostname", layout.Unconfigured)
	g.Prints("ip -4 -o address show dev eth0 | awk '{print $4}'", "10.0.2.15/24")
	g.Prints(`. /etc/psyopsOS/psyops-secret.env && echo "$PSYOPSOS_NODENAME $PSYOPSOS_AGEKEY"`, "psyopsOS-unconfigured /mnt/psyops-secret/mount/age.key")
	g.Prints("ls -A /mnt/psyops-secret/mount", "")
	g.Runs("! pidof nebula")
	g.PowersOff()
}

func TestAVolumeOnAnotherBareDiskServesWhereTheBootedDiskHasNone(t *testing.T) {
	bare := vm.Disk{ID: "bare", Path: secretVolume(t, map[string]string{"nodename": "bare\n"})}
	g := boot(t, Scenario{Disks: append([]vm.Disk{bare}, onDisk(diskWithSecret(t, ""))...)})
	g.isNode("bare")
	g.HandsOver()
}

// everyFile is a whole volume, some of it with the line ends of another
// system.
func everyFile(t testing.TB) map[string]string {
	files := demoNode(t)
	maps.Copy(files, map[string]string{
		"nodename":        "  camp7\r\n",
		"age.key":         "# created: 2026-11-21T10:15:00Z\nAGE-SECRET-KEY-1TEST\n",
		"psynet.host.crt": "-----BEGIN NEBULA CERTIFICATE-----\n-----END NEBULA CERTIFICATE-----\n",
		"psynet.host.key": "-----BEGIN NEBULA X25519 PRIVATE KEY-----\n-----END NEBULA X25519 PRIVATE KEY-----\n",
		"minisign.pubkey": string(read(t, filepath.Join(out, "keys", "development.pub"))),
		"mactab":          strings.ReplaceAll(files["mactab"], "\n", "\r\n"),
		"own-file":        "the owner's\n",
	})
	return files
}

// Issue 3, test 3. The bare disk's volume has the same label and comes first:
// the booted disk's wins.
func TestANodeIsItselfFromOutsideAndInside(t *testing.T) {
	port, err := vm.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	files := everyFile(t)
	own := diskWithSecret(t, secretVolume(t, files))
	bare := vm.Disk{ID: "bare", Path: secretVolume(t, map[string]string{"nodename": "bare\n"})}
	g := boot(t, Scenario{Words: "psyopsos.disk=" + partition(t, own, layout.SideA).UUID, Disks: append([]vm.Disk{bare}, onDisk(own)...),
		Machine: vm.Machine{NICs: []vm.NIC{{SSH: port}}}})
	g.Warns("the label psyops-secret is also on vda; using vdb2")
	g.Warns("the lines of mactab end with CR LF")
	g.isNode("camp7")
	g.HandsOver()
	g.AnswersSSH(port)
	if got, want := hostKeyAt(t, port), publicKey(t, files["ssh_host_ed25519_key"]); got != want {
		t.Errorf("from outside the host key is %q, want %q", got, want)
	}
	g.Login()
	g.Prints("hostname", "camp7")
	g.Prints("ls /sys/class/net | tr '\\n' ' '", "lo psy0 ")
	g.hasFiles([]string{
		"600 root:root /etc/ssh/ssh_host_ed25519_key",
		"600 root:root /mnt/psyops-secret/mount/age.key",
		"600 root:root /mnt/psyops-secret/mount/mactab",
		"600 root:root /mnt/psyops-secret/mount/minisign.pubkey",
		"600 root:root /mnt/psyops-secret/mount/network.interfaces",
		"600 root:root /mnt/psyops-secret/mount/nodename",
		"600 root:root /mnt/psyops-secret/mount/own-file",
		"600 root:root /mnt/psyops-secret/mount/psynet.host.crt",
		"600 root:root /mnt/psyops-secret/mount/psynet.host.key",
		"600 root:root /mnt/psyops-secret/mount/ssh_host_ed25519_key",
		"644 root:root /etc/hostname",
		"644 root:root /etc/mactab",
		"644 root:root /etc/network/interfaces",
		"644 root:root /etc/psyopsOS/psyops-secret.env",
		"644 root:root /etc/ssh/ssh_host_ed25519_key.pub",
		"700 root:root /mnt/psyops-secret",
		"700 root:root /mnt/psyops-secret/mount",
	})
	g.Prints("grep -c /mnt/psyops-secret /proc/mounts; grep -c '^psyops-secret /mnt/psyops-secret/mount tmpfs' /proc/mounts", "1\n1")
	g.Prints(`. /etc/psyopsOS/psyops-secret.env && cat "$PSYOPSOS_AGEKEY" "$PSYOPSOS_PSYNET_HOST_CRT" && echo "$PSYOPSOS_NODENAME"`,
		files["age.key"]+files["psynet.host.crt"]+"camp7")
	g.Prints("od -c /etc/mactab | grep -c '[\\]r' || true", "0")
	g.PowersOff()
}

// hasFiles wants these files, by "mode owner path", and no others below
// psyops-secret's mount point.
func (g *Guest) hasFiles(want []string) {
	g.t.Helper()
	got := g.Runs(`stat -c '%a %U:%G %n' /etc/hostname /etc/mactab /etc/network/interfaces /etc/psyopsOS/psyops-secret.env ` +
		`/etc/ssh/ssh_host_ed25519_key* $(find /mnt/psyops-secret) | sort`)
	if got != strings.Join(want, "\n") {
		g.t.Errorf("installed are\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// hostKeyAt asks the server at a port of 127.0.0.1 for its key, as ssh would.
func hostKeyAt(t testing.TB, port int) string {
	t.Helper()
	return keyOf(t, run(t, "ssh-keyscan", "-T", "60", "-t", "ed25519", "-p", fmt.Sprint(port), "127.0.0.1"), "ssh-ed25519")
}

// publicKey is the public half of a private key, by OpenSSH itself.
func publicKey(t testing.TB, private string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	return keyOf(t, run(t, "ssh-keygen", "-y", "-f", path), "ssh-ed25519")
}

func keyOf(t testing.TB, text, kind string) string {
	t.Helper()
	fields := strings.Fields(text)
	for i, f := range fields[:max(0, len(fields)-1)] {
		if f == kind {
			return fields[i+1]
		}
	}
	t.Fatalf("no %s key in %q", kind, text)
	return ""
}

// A name that a shell would obey is no name; a damaged key is not installed,
// and sshd answers with one of its own; toor is there and told. The network is
// the command line's.
func TestAVolumeCannotMakeTheNodeRunSomething(t *testing.T) {
	files := demoNode(t)
	files["nodename"] = "x;touch${IFS}/tmp/owned;$(touch /tmp/owned)`touch /tmp/owned`\n"
	files["ssh_host_ed25519_key"] = strings.Replace(files["ssh_host_ed25519_key"], "b3Blbn", "b3BlbN", 1)
	files["TESTONLYNOPROD.env"] = "PSYOPSOS_TESTING_ONLY_NO_PROD_ADD_TOOR_BLANK_PW=yes\r\ntouch /tmp/owned\r\n"
	delete(files, "network.interfaces")
	g := boot(t, Scenario{Words: "ip=10.0.2.77::10.0.2.2:255.255.255.0::psy0:none:10.0.2.3",
		Disks: onDisk(diskWithSecret(t, secretVolume(t, files))), Machine: vm.Machine{NICs: []vm.NIC{{}}}})
	g.Warns("nodename is refused: its character 2 is not one of")
	g.Warns("ssh_host_ed25519_key is not used")
	g.Warns("TESTONLYNOPROD.env adds the user toor")
	g.isNode(layout.Unconfigured)
	g.HandsOver()
	g.Login()
	g.Prints(`. /etc/psyopsOS/psyops-secret.env; echo "$PSYOPSOS_NODENAME $(hostname)"`, layout.Unconfigured+" "+layout.Unconfigured)
	g.Runs("! test -e /tmp/owned")
	g.Prints("ip -4 -o address show dev psy0 | awk '{print $4}'; ip route | awk '/^default/{print $3}'; cat /etc/resolv.conf",
		"10.0.2.77/24\n10.0.2.2\nnameserver 10.0.2.3")
	g.Prints("grep -c '^toor:x:0:0:' /etc/passwd; grep -c '^toor::' /etc/shadow; stat -c %a /etc/shadow", "1\n1\n600")
	g.PowersOff()
}

// Three cards, by their addresses.
const (
	cardA = "52:54:00:00:00:0a"
	cardB = "52:54:00:00:00:0b"
	cardC = "52:54:00:00:00:0c"
)

func withMactab(t testing.TB, mactab string) []vm.Disk {
	t.Helper()
	files := demoNode(t)
	files["mactab"], files["network.interfaces"] = mactab, "auto lo\niface lo inet loopback\n"
	return onDisk(diskWithSecret(t, secretVolume(t, files)))
}

// Issue 3, test 2.
func TestLinksGetTheirNamesByAddressInEitherOrder(t *testing.T) {
	for _, c := range []struct {
		first, second, firstIs, secondIs string
	}{{cardA, cardB, "psy0", "lan0"}, {cardB, cardA, "lan0", "psy0"}} {
		t.Run(c.first+" first", func(t *testing.T) {
			g := boot(t, Scenario{Disks: withMactab(t, "psy0 "+cardA+"\nlan0 mac="+cardB+" driver=virtio_net\n"),
				Machine: vm.Machine{NICs: []vm.NIC{{MAC: c.first}, {MAC: c.second}}}})
			g.Notes("eth0 is now " + c.firstIs)
			g.Notes("eth1 is now " + c.secondIs)
			g.HandsOver()
		})
	}
}

func TestLinksSwapTheirNamesAndLinesThatMatchNothingAreTold(t *testing.T) {
	mactab := strings.Join([]string{"eth0 " + cardB, "eth1 " + cardA, "psy0 " + cardC, "zero0 00:00:00:00:00:00", "gone0 52:54:00:00:00:99", "lo " + cardA, ""}, "\n")
	g := boot(t, Scenario{Disks: withMactab(t, mactab), Machine: vm.Machine{NICs: []vm.NIC{{MAC: cardA}, {MAC: cardB}, {MAC: cardC}}}})
	found := "no network link matches; found eth0 " + cardA + " virtio_net, eth1 " + cardB + " virtio_net, eth2 " + cardC + " virtio_net"
	g.Warns("mactab line 4 (zero0 mac=00:00:00:00:00:00): " + found)
	g.Warns("mactab line 5 (gone0 mac=52:54:00:00:00:99): " + found)
	g.Warns("mactab line 6 is not used: lo is the loopback link")
	g.Notes("eth0 is now eth1")
	g.HandsOver()
	g.Login()
	g.Prints(`for l in /sys/class/net/*; do echo "${l##*/} $(cat $l/address)"; done`,
		"eth0 "+cardB+"\neth1 "+cardA+"\nlo 00:00:00:00:00:00\npsy0 "+cardC)
	g.PowersOff()
}

// psynetFiles are what the real nebula-cert of the tests' userland makes for
// a node.
func psynetFiles(t testing.TB, name, address string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	run(t, "unsquashfs", "-q", "-n", "-no-xattrs", "-f", "-d", dir, images(t).Squashfs, "usr/bin/nebula-cert")
	program := filepath.Join(dir, "usr/bin/nebula-cert")
	in := func(file string) string { return filepath.Join(dir, file) }
	run(t, program, "ca", "-name", "test", "-out-crt", in("psynet.ca.crt"), "-out-key", in("ca.key"))
	run(t, program, "sign", "-name", name, "-ip", address, "-ca-crt", in("psynet.ca.crt"), "-ca-key", in("ca.key"),
		"-out-crt", in("psynet.host.crt"), "-out-key", in("psynet.host.key"))
	files := map[string]string{}
	for _, file := range []string{"psynet.ca.crt", "psynet.host.crt", "psynet.host.key"} {
		files[file] = string(read(t, in(file)))
	}
	return files
}

// Issue 3, test 8.
func TestSecretsOutliveTheirMedium(t *testing.T) {
	const address = "10.77.0.7/24"
	files := demoNode(t)
	maps.Copy(files, psynetFiles(t, "demo", address))
	g := boot(t, Scenario{Disks: []vm.Disk{{ID: "stick", Path: diskWithSecret(t, secretVolume(t, files)), Hotplug: true}},
		Machine: vm.Machine{NICs: []vm.NIC{{}}}})
	g.HandsOver()
	g.Login()
	const up = `for i in 1 2 3 4 5 6 7 8 9 10; do ip -o -4 address show dev psynet 2>&1 | grep -q 10.77.0.7/24 && break; sleep 1; done; ip -o -4 address show dev psynet | awk '{print $4}'`
	g.Prints(up, address)
	before := g.Runs("pidof nebula")
	g.Unplug("stick")
	g.Runs("for i in 1 2 3 4 5; do test -e /dev/vda || break; sleep 1; done; ! test -e /dev/vda")
	g.Runs("sync; echo 3 > /proc/sys/vm/drop_caches")
	g.Prints(`. /etc/psyopsOS/psyops-secret.env && cat "$PSYOPSOS_PSYNET_HOST_CRT" "$PSYOPSOS_PSYNET_HOST_KEY" "$PSYOPSOS_SSHD_ED25519_KEY" "$PSYOPSOS_MACTAB"`,
		strings.TrimSuffix(files["psynet.host.crt"]+files["psynet.host.key"]+files["ssh_host_ed25519_key"]+files["mactab"], "\n"))
	g.Runs("rc-service psynet restart")
	g.Prints(up, address)
	if after := g.Runs("pidof nebula"); after == before {
		t.Errorf("nebula is still process %s", before)
	}
	g.Runs("logread | grep -q 'psynet.*10.77.0.7'")
	g.PowersOff()
}

// Notes waits for a note that contains words.
func (g *Guest) Notes(words string) {
	g.t.Helper()
	g.Sees(func(e step.Event) bool { return e.Kind == step.Note && strings.Contains(e.Message, words) })
}
