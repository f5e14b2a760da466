//go:build qemu

package qemutests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/vm"
)

// tk runs tk as a user with a home of his own would, and gives its stdout.
func tk(t testing.TB, home string, args ...string) string {
	t.Helper()
	cmd := exec.Command(tkBinary(t), args...)
	cmd.Env = append(os.Environ(), "PSYOPSOS_CONFIG=none", "PSYOPSOS_STORE="+filepath.Join(home, "store"), "PSYOPSOS_IDENTITY="+filepath.Join(home, "age.key"))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("tk %v: %v", args, err)
	}
	return string(text)
}

// Issue 5: a node made by tk boots as itself, with the keys in the store.
func TestANodeMadeByTkBootsWithItsNameKeysAndLink(t *testing.T) {
	images(t) // so that what they need is built
	home := t.TempDir()
	disk := filepath.Join(home, "web1.img")
	tk(t, home, "psynet", "ca", "test site", "--networks", "10.77.0.0/16")
	known := tk(t, home, "node", "new", "web1", "--psynetip", "10.77.0.5/24", "--mac-address", "52:54:00:12:34:56")
	building.Lock()
	tk(t, home, "node", "image", "web1", "--outimg", disk, "--out", out, "--append", "psyopsos.events="+vm.EventsDevice,
		"--size", "psyopsOS-A=160", "--size", "psyopsOS-B=160", "--size", "psyops-secret=16")
	building.Unlock()
	g := boot(t, Scenario{Firmware: true, Disks: onDisk(disk), Machine: vm.Machine{NICs: []vm.NIC{{MAC: "52:54:00:12:34:56"}}}})
	g.isNode("web1")
	g.HandsOver()
	g.Login()
	g.Prints("hostname", "web1")
	g.Prints("ls /sys/class/net | grep psy0", "psy0")
	// Its ssh host key is the one that tk told for known_hosts.
	fields := strings.Fields(known)
	g.Prints("cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub", fields[2])
	g.Prints("grep -c AGE-SECRET-KEY- /mnt/psyops-secret/mount/age.key", "1")
	g.Prints("head -n 1 /mnt/psyops-secret/mount/psynet.host.crt", "-----BEGIN NEBULA CERTIFICATE-----")
	g.PowersOff()
}
