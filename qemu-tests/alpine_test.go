//go:build qemu

package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/vm"
)

// No Alpine mirror can be reached where these tests run. The repository is
// made here, of the programs that testos is made of (alpine_repository_test.go),
// and goes through all that a real one goes through: signed index, resolution,
// signatures and hashes, lock, installation without scripts.

var alpineImages = sync.OnceValues(buildAlpine)

// buildAlpine runs tk as a user would: our own packages first, then an image
// of two repositories, with a kernel of one of them.
func buildAlpine() (Images, error) {
	building.Lock()
	defer building.Unlock()
	site, err := filepath.Abs(filepath.Join(out, "alpine"))
	if err != nil {
		return Images{}, err
	}
	if err := makeAlpineSite(site); err != nil {
		return Images{}, err
	}
	ours, theirs := filepath.Join(site, "ours"), filepath.Join(site, "theirs")
	if err := runTk("buildpkg", "--out", out, "--packages", ours); err != nil {
		return Images{}, err
	}
	if err := runTk("mkimage", "diskimg", "--out", out, "--append", "psyopsos.events="+vm.EventsDevice,
		"--size", "psyopsOS-A=160", "--size", "psyopsOS-B=160", "--size", "psyops-secret=16",
		"--userland", "alpine", "--world", filepath.Join(site, "world"), "--package-cache", filepath.Join(site, "cache"),
		"--repository", theirs+" keys="+theirs, "--repository", "@ours "+ours+" keys="+ours,
		"--kernel", "alpine:linux-cloud", "--firmware", "alpine:linux-firmware-*",
		"--overlay", filepath.Join(site, "overlay"), "--service", "greeter"); err != nil {
		return Images{}, err
	}
	stages, err := filepath.Abs(filepath.Join(out, "stages"))
	if err != nil {
		return Images{}, err
	}
	kernel := filepath.Join(stages, "kernel-linux-cloud")
	version, err := os.ReadFile(filepath.Join(kernel, layout.KernelVersion))
	return Images{
		Kernel:        filepath.Join(kernel, layout.Kernel),
		Initramfs:     filepath.Join(stages, "initramfs-linux-cloud", layout.Initramfs),
		Modloop:       filepath.Join(kernel, layout.Modloop),
		Squashfs:      filepath.Join(stages, "squashfs-alpine", layout.Squashfs),
		Disk:          filepath.Join(stages, "diskimg-alpine-linux-cloud", "psyopsOS-alpine-linux-cloud.img"),
		Release:       filepath.Join(stages, "ostar-alpine-linux-cloud"),
		KernelVersion: strings.TrimSpace(string(version)),
	}, err
}

func runTk(words ...string) error {
	tk, err := builtTk()
	if err != nil {
		return err
	}
	cmd := exec.Command(tk, words...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return nil
}

func TestAUserlandAndAKernelOfAlpinePackagesBoot(t *testing.T) {
	g := boot(t, Scenario{Images: alpineImages, Machine: vm.Machine{NICs: []vm.NIC{{}}}, Deadline: 8 * time.Minute})
	checkAlpineRelease(t, g.Images)
	g.HandsOver()
	g.Login()
	g.Prints("uname -r", g.Images.KernelVersion)
	g.Prints(". /etc/os-release; echo $ID $VERSION_ID", "alpine 3.99.1")
	if failed := g.Runs("rc-status --nocolor --crashed || true"); failed != "" {
		t.Errorf("services that failed: %s", failed)
	}

	// Accounts that pre-install scripts make; files that belong to them, by
	// name and not by the numbers that they had where they were packed; run as
	// them.
	g.Prints("stat -c '%a %U:%G' /var/lib/demo /var/lib/demo/state", "2750 demo:demo\n640 demo:demo")
	g.Prints("grep -c '^sshd:x:[0-9]*:22:sshd:/run/sshd:/sbin/nologin$' /etc/passwd; grep -c '^sshd:!:' /etc/shadow", "1\n1")
	g.Prints(`awk '/^Uid/ {print $2}' /proc/$(cat /run/demod.pid)/status`, g.Runs("id -u demo"))

	// Modes and links as a real installation has them.
	g.Prints("stat -c %a /bin/bbsuid /tmp /root /etc/shadow", "4111\n1777\n700\n640")
	g.Prints("for f in mount ls sh; do readlink /bin/$f; done", "/bin/bbsuid\n/bin/busybox\n/bin/busybox")

	// Services: Alpine's run levels, an install_if subpackage, the user's own,
	// and ours.
	g.Runs("for s in sysinit/mdev sysinit/modloop boot/networking boot/syslog default/sshd default/greeter default/psyopsos-health; do test -x /etc/runlevels/$s || exit 1; done")
	g.Runs("rc-service sshd status && rc-service syslog status")
	g.Prints("cat /run/greeting", "hello from the overlay")

	// What apk on the node goes on with.
	g.Prints("grep -c '^P:' /lib/apk/db/installed", fmt.Sprint(alpinePackageCount))
	g.Prints("grep '^psyopsOS' /etc/apk/world", "psyopsOS-base@ours")
	g.Prints("ls -1 /etc/apk/keys", "development-packages.rsa.pub\ntheirs.rsa.pub")

	// The modules and the firmware that they name, and no other.
	g.Runs("modprobe dummy && lsmod | grep -q ^dummy")
	g.Prints("cat /lib/firmware/me4000_firmware.bin /lib/firmware/ni6534a.bin; find /lib/firmware/ -type f | wc -l", "blobblob2")
	status := g.Runs("neuralupgrade status")
	for _, want := range []string{"psyopsOS-A", "demo"} {
		if !strings.Contains(status, want) {
			t.Errorf("status does not tell %q:\n%s", want, status)
		}
	}
	g.PowersOff()
}

// checkAlpineRelease looks at what the release says of its userland.
func checkAlpineRelease(t testing.TB, i Images) {
	t.Helper()
	signatures, err := filepath.Glob(filepath.Join(i.Release, "*.tar.minisig"))
	if err != nil || len(signatures) != 1 {
		t.Fatalf("signatures: %v, %v", signatures, err)
	}
	text, err := os.ReadFile(signatures[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := " kernel=" + i.KernelVersion + " alpine=3.99 "; !strings.Contains(string(text), want) {
		t.Errorf("the release's signature does not say %q:\n%s", want, text)
	}
}
