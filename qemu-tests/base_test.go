//go:build qemu

package qemutests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"psyopsOS/vm"
)

// site is what a site lays over the userland: its psynet, with web1 as the
// lighthouse, two programs for postboot, a password for root, and an inittab
// that has the serial port as a comment, as Alpine's has.
func site(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "overlay")
	for name, text := range map[string]string{
		"psyopsOS/psynet.yml": `
static_host_map: {"10.77.0.1": ["192.168.77.1:4242"]}
lighthouse: {am_lighthouse: false, interval: 5, hosts: ["10.77.0.1"]}
listen: {host: 0.0.0.0, port: 4242}
tun: {dev: psynet}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: icmp, group: servers}]
`,
		"psyopsOS/psynet.web1.yml":      "lighthouse: {am_lighthouse: true}\n",
		"psyopsOS/postboot.d/10-name":   "#!/bin/sh\necho \"$PSYOPSOS_NODENAME\" >>/run/configured\n",
		"psyopsOS/postboot.d/20-web1":   "#!/bin/sh\n[ \"$PSYOPSOS_NODENAME\" != web1 ]\n",
		"psyopsOS/root.password-hash":   "$6$psyopsOS$f6m3fcVuZ5PB6S3MmSOlSx50q0DF6YygekD.2JtXplUeiN.62QzXvHjgAVcvvQBVT4FZ99tLT0mTW1/YkAYBK1\n", // openssl passwd -6 -salt psyopsOS letmein,
		"psyopsOS/root.authorized_keys": "ssh-ed25519 AAAA site\n",
		"inittab": "::sysinit:/sbin/openrc sysinit\n::sysinit:/sbin/openrc boot\n::wait:/sbin/openrc default\n" +
			"#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n::ctrlaltdel:/sbin/reboot\n::shutdown:/sbin/openrc shutdown\n",
	} {
		name = filepath.Join(dir, "etc", name)
		mode := os.FileMode(0o644)
		if text[0] == '#' {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Issue 5: two nodes made by tk, with a cable between them, are in one psynet;
// what the base brings is there on both.
func TestTwoNodesReachOneAnotherOverThePsynetAndPostbootIsTold(t *testing.T) {
	home, overlay := t.TempDir(), site(t)
	cables, err := os.MkdirTemp("", "cable-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(cables) })
	end := func(name string) string { return filepath.Join(cables, name) }
	// Stages of its own: the overlay would have the other tests' made anew.
	const base = out + "-base"
	made := func() (Images, error) {
		return Images{Kernel: base + "/stages/kernel/kernel", Initramfs: base + "/stages/initramfs/initramfs"}, nil
	}
	tk(t, home, "psynet", "ca", "test site", "--networks", "10.77.0.0/16")
	node := func(name, psynet, address, here, there string) Scenario {
		disk := filepath.Join(home, name+".img")
		tk(t, home, "node", "new", name, "--psynetip", psynet, "--psynet-groups", "servers")
		tk(t, home, "node", "image", name, "--outimg", disk, "--out", base, "--overlay", overlay,
			"--size", "psyopsOS-A=160", "--size", "psyopsOS-B=160", "--size", "psyops-secret=16")
		return Scenario{Images: made, Disks: onDisk(disk), Words: "ip=" + address + ":::255.255.255.0::eth0:none",
			Machine: vm.Machine{NICs: []vm.NIC{{MAC: "52:54:00:77:00:" + here, Cable: vm.Cable{Here: end(here), There: end(there)}}}}}
	}
	one := node("web1", "10.77.0.1/24", "192.168.77.1", "01", "02")
	two := node("web2", "10.77.0.2/24", "192.168.77.2", "02", "01")
	// A suite for each: two machines of one test must not wait for one slot.
	web1, web2 := NewSuite(made, suite.Logs).Boot(t, one), NewSuite(made, suite.Logs).Boot(t, two)
	for _, g := range []*Guest{web1, web2} {
		// Only psyopsos-consoles can have put a prompt here, and only
		// psyopsos-root a password.
		g.Says("psyopsOS: psyopsOS-A .*")
		g.Says("login: ?")
		g.Types("root\r")
		g.Says("Password: ?")
		g.Types("letmein\r")
		if err := g.VM.Console.Shell(g.ctx); err != nil {
			t.Fatal(err)
		}
		g.Runs("dmesg -n 1")
		g.Prints("cat /root/.ssh/authorized_keys; stat -c '%a' /root/.ssh/authorized_keys", "ssh-ed25519 AAAA site\n600")
		g.Prints("grep -c ' /mnt/psyops' /etc/fstab; ls -d /psyopsos-data", "4\n/psyopsos-data")
	}
	const reached = "for i in $(seq 30); do ping -c 1 -W 2 %s >/dev/null 2>&1 && break; sleep 1; done; ping -c 1 -W 5 %[1]s | grep -o '1 packets received'"
	web2.Prints(fmt.Sprintf(reached, "10.77.0.1"), "1 packets received")
	web1.Prints(fmt.Sprintf(reached, "10.77.0.2"), "1 packets received")

	const ended = "for i in $(seq 60); do grep -q -e state=done -e state=failed /etc/psyopsOS/status/postboot && break; sleep 1; done; "
	web1.Prints(ended+"grep -e state -e detail -e network /etc/psyopsOS/status/postboot", "state=failed\ndetail=20-web1\nnetwork=yes")
	web2.Prints(ended+"grep -e state -e detail -e network /etc/psyopsOS/status/postboot", "state=done\ndetail=\nnetwork=yes")
	web1.Runs("neuralupgrade status --line | grep 'postboot failed: 20-web1'; grep 'postboot failed' /etc/issue")
	web1.Runs("grep 'postboot failed' /run/psyopsOS/prompt")
	web2.Runs("neuralupgrade status --line | grep '; configured$'; grep configured$ /etc/issue; ! grep postboot /run/psyopsOS/prompt")
	// Once a boot, whoever starts the service again.
	web2.Runs("rc-service postboot restart; sleep 2")
	web2.Prints("cat /run/configured", "web2")
	web2.Runs("grep -q '10-name is done' /var/log/postboot.latest; readlink /var/log/postboot.latest | grep '^postboot.20[0-9]*-[0-9]*$'")
	web1.PowersOff()
	web2.PowersOff()
}
