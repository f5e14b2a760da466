//go:build qemu

package qemutests

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/image"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// initramfsOf is the tests' initramfs once more, with other keys in it.
func initramfsOf(t testing.TB, keys map[string][]byte) string {
	t.Helper()
	stages := filepath.Dir(filepath.Dir(images(t).Disk))
	list, err := os.ReadFile("../u-root-config/modules")
	if err != nil {
		t.Fatal(err)
	}
	names, err := image.ParseModuleList(list)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := image.OpenKernel(filepath.Join(stages, "kernel"))
	if err != nil {
		t.Fatal(err)
	}
	modules, _, err := image.InitramfsModules(context.Background(), kernel, names)
	if err != nil {
		t.Fatal(err)
	}
	o := image.InitramfsOptions{Init: filepath.Join(stages, "init", "init"), Keys: keys, Modules: modules.FS(),
		Commands: filepath.Join(stages, "commands", "commands.cpio"), Out: filepath.Join(t.TempDir(), layout.Initramfs)}
	if err := image.Initramfs(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	return o.Out
}

// Issue 4: a release of which two of three keys must sign is made, published,
// applied and booted; one of two is refused with the counts. Beside that the
// image of a disk is updated through loop devices, as on a build machine.
func TestTwoOfThreeKeysAreAppliedAndBooted(t *testing.T) {
	images(t) // makes the key
	first := buildKey(t)
	keys := map[string][]byte{release.ThresholdFile: []byte("2\n")}
	secrets := []release.SecretKey{first}
	for range 2 {
		_, secret, err := release.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
	}
	install := "rm -f /etc/psyopsOS/minisign.pubkey; echo 2 >/etc/psyopsOS/keys/threshold"
	for i, secret := range secrets {
		public, err := secret.Public()
		if err != nil {
			t.Fatal(err)
		}
		keys[fmt.Sprintf("%d.pub", i)] = public.Text()
		// One line: a console's shell would ask for the rest of a longer one.
		install += fmt.Sprintf("; printf '%s' >/etc/psyopsOS/keys/%d.pub", strings.ReplaceAll(string(public.Text()), "\n", `\n`), i)
	}
	repo := newerRelease(t, func(o *image.OSTarOptions) {
		o.Cosigners, o.Members[layout.Initramfs] = secrets[1:2], initramfsOf(t, keys)
	})
	// The same without the second signature.
	one := filepath.Join(repo.dir, "one")
	tar := release.Name{Kind: release.OS, Platform: "x86_64", Version: repo.version}.String()
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
