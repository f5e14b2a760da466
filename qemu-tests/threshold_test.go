//go:build qemu

package qemutests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/release"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// Issue 4: a release of which two of three keys must sign is made, published,
// applied and booted; one of two is refused with the counts. Beside that the
// image of a disk is updated through loop devices, as on a build machine.
func TestTwoOfThreeKeysAreAppliedAndBooted(t *testing.T) {
	images(t) // makes the first key
	dir := t.TempDir()
	names := []string{strings.TrimSuffix(developmentKey(t), ".key"), filepath.Join(dir, "second"), filepath.Join(dir, "third")}
	install := "rm -f /etc/psyopsOS/minisign.pubkey; echo 2 >/etc/psyopsOS/keys/threshold"
	for i, name := range names {
		if i > 0 {
			run(t, tkBinary(t), "signify", "keygen", name, "--no-password")
		}
		// One line: a console's shell would ask for the rest of a longer one.
		install += fmt.Sprintf("; printf '%s' >/etc/psyopsOS/keys/%d.pub", strings.ReplaceAll(string(read(t, name+".pub")), "\n", `\n`), i)
	}
	repo := newerRelease(t, func(testing.TB) []string {
		return []string{"--cosign-key", names[1] + ".key", "--trust-key", names[2] + ".pub", "--threshold", "2"}
	})
	// The same without the second signature.
	one, tar := filepath.Join(filepath.Dir(repo.tar()), "one"), filepath.Base(repo.tar())
	if err := os.Mkdir(one, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{tar, tar + ".minisig", release.LatestSignature(release.OS, "x86_64")} {
		if err := os.Symlink("../"+name, filepath.Join(one, name)); err != nil {
			t.Fatal(err)
		}
	}
	path, _ := ownDisk(t)
	spare := diskWith(t, 1500<<20, map[string]string{"disk.img": images(t).Disk})
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}, spare},
		Machine: vm.Machine{NICs: []vm.NIC{{}}}, Deadline: 12 * time.Minute})
	g.HandsOver()
	g.Login()
	g.judged()
	g.Runs(install)
	if output, code := g.Tries("neuralupgrade --repository " + repo.address + "/one apply nonbooted 2>&1"); code != 1 || !strings.Contains(output, "1 of 2") {
		t.Errorf("one of two: exit status %d\n%s", code, output)
	}
	g.Runs("neuralupgrade show | grep -q 'nextboot_label: psyopsOS-A'")
	g.Runs("export NEURALUPGRADE_REPOSITORY=" + repo.address)
	t.Log(g.Runs("neuralupgrade apply nonbooted 2>&1"))

	// The image of a disk, on another disk: its volumes are mounted through
	// loop devices, which are gone again at the end.
	t.Run("the image of a disk", func(t *testing.T) {
		g.Runs("mkdir -p /mnt/files && mount -t ext4 /dev/vdb /mnt/files")
		image := "neuralupgrade --efisys-dev /mnt/files/disk.img --booted-mock a "
		t.Log(g.Runs(image + "apply b 2>&1"))
		g.Runs(image + "show | grep -q 'nextboot_label: psyopsOS-B'")
		if output, code := g.Tries(image + "check --target b 2>&1"); code != 0 || !strings.Contains(output, "b: psyopsOS-B is version "+repo.version) {
			t.Errorf("the image: exit status %d\n%s", code, output)
		}
		g.Runs("umount /mnt/files")
	})

	g.Restarts("reboot")
	g.Sees(func(e step.Event) bool { return e.Key == "device" && e.Value == "vda4" })
	g.Sees(func(e step.Event) bool { return e.Key == "release" && e.Value == repo.version })
	g.HandsOver()
}
