//go:build qemu

package qemutests

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/image"
	"psyopsOS/image/disk"
	"psyopsOS/image/loader"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/vm"
)

// newerESP adds an ESP release to those that are served at a repository of this
// test: its own server's folder.
func newerESP(t testing.TB, dir string, version string) {
	t.Helper()
	when, err := release.VersionTime(version)
	if err != nil {
		t.Fatal(err)
	}
	grub, err := loader.Build(t.Context(), loader.Options{Version: version, Time: when})
	if err != nil {
		t.Fatal(err)
	}
	espOf(t, dir, version, grub)
}

// hangingESP adds one whose loader starts and hangs.
func hangingESP(t testing.TB, dir string, version string) {
	t.Helper()
	script, out := filepath.Join(t.TempDir(), "hang.cfg"), filepath.Join(t.TempDir(), "hang.efi")
	if err := os.WriteFile(script, []byte("set loader_version="+version+"\nset loader_time=never\necho this loader hangs\nsleep 100000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "grub-mkimage", "-O", "x86_64-efi", "-p", "/none", "-c", script, "-o", out, "echo", "sleep")
	grub, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	espOf(t, dir, version, grub)
}

func espOf(t testing.TB, dir, version string, grub []byte) {
	t.Helper()
	when, err := release.VersionTime(version)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program.efi")
	if err := os.WriteFile(program, grub, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := image.EFISysTar(context.Background(), image.EFISysTarOptions{Files: []disk.File{{Path: layout.Loader, Data: grub}},
		Programs: []image.EFIProgram{{Name: "memtest64.efi", Title: "No memory test", Source: program}},
		Version:  version, Key: buildKey(t), Now: when, Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(r.Signature), filepath.Join(dir, release.LatestSignature(release.ESP, release.UEFI))); err != nil {
		t.Fatal(err)
	}
}

// laterVersion is an hour after the shared disk's release.
func laterVersion(t testing.TB) string {
	t.Helper()
	return release.Version(builtAt(t).Add(time.Hour))
}

// serve serves a folder to the guest.
func serve(t testing.TB, dir string) string {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1)
}

// loaderOn is the version of the loader that firmware finds on a disk image's
// EFI system partition.
func loaderOn(t testing.TB, path string, label layout.Label) string {
	t.Helper()
	content, err := bootstate.ReadWhole(openVolume(t, path, label), layout.Loader, 8<<20)
	if err != nil {
		return err.Error()
	}
	return bootstate.LoaderVersion(content)
}

// Issue 4: the loader is replaced in the running system. The firmware starts
// the new one once, by BootNext. One that hangs is gone after a power cycle,
// told of, and not tried again; a good one becomes the default with the commit
// of that boot, which the second partition follows.
func TestTheLoaderIsTriedReplacedAndTheSecondOneFollows(t *testing.T) {
	dir, hangs, bad := t.TempDir(), t.TempDir(), laterVersion(t)
	hangingESP(t, hangs, bad)
	when, err := release.VersionTime(bad)
	if err != nil {
		t.Fatal(err)
	}
	version := release.Version(when.Add(time.Hour))
	newerESP(t, dir, version)
	path, _ := ownDisk(t)
	old := loaderOn(t, path, layout.EFISystem2)
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}},
		Machine: vm.Machine{NICs: []vm.NIC{{}}}, Deadline: 12 * time.Minute})
	n := &node{t: t, disk: path, Guest: g}
	up := func(by string) {
		t.Helper()
		g.HandsOver()
		g.Login()
		g.judged()
		g.Prints("sed 's/.*psyopsos.loader=\\([^ ]*\\).*/\\1/' /proc/cmdline", by)
	}
	up(old)
	g.Runs("neuralupgrade apply efisys --repository " + serve(t, hangs) + " 2>&1")
	g.Restarts("neuralupgrade reboot")
	g.Says("this loader hangs")
	n.cutsPower()
	up(old)
	if status := g.Runs("neuralupgrade status"); !strings.Contains(status, "loader:    "+bad+" was started once and not committed") {
		t.Errorf("status does not tell of the loader that hung:\n%s", status)
	}
	n.refuses("neuralupgrade apply efisys --repository "+serve(t, hangs), bad+" was started once and not committed", "--force tries it again")

	g.Runs("export NEURALUPGRADE_REPOSITORY=" + serve(t, dir))
	output := g.Runs("neuralupgrade apply efisys 2>&1")
	t.Log(output)
	if !strings.Contains(output, "the loader of release "+version+" is started once, with the next restart") {
		t.Error("apply does not tell that the loader is tried first")
	}
	if said, code := g.Tries("neuralupgrade rollback 2>&1"); code != 1 || !strings.Contains(said, "a new loader is started with the next restart") {
		t.Errorf("a trial beside a new loader: exit status %d\n%s", code, said)
	}
	g.Prints("grep -c /dev/vda /proc/mounts || true", "0")
	// The image is what the guest has written: nothing is in a cache.
	if one, two := loaderOn(t, path, layout.EFISystem), loaderOn(t, path, layout.EFISystem2); one != old || two != old {
		t.Errorf("before the restart the loaders are %s and %s, want %s and %[3]s", one, two, old)
	}
	g.Prints("ls /sys/firmware/efi/efivars | grep -c '^BootNext-'", "1")
	g.Restarts("reboot")
	up(version)
	shown := g.Runs("neuralupgrade show")
	for _, want := range []string{"second_loader: " + version, "running_loader: " + version, "extra_programs: /memtest64.efi", "version: " + version} {
		if !strings.Contains(shown, want) {
			t.Errorf("show does not tell %q:\n%s", want, shown)
		}
	}
	for _, label := range []layout.Label{layout.EFISystem, layout.EFISystem2} {
		if got := loaderOn(t, path, label); got != version {
			t.Errorf("the loader on %s is %s, want %s", label, got, version)
		}
		fsck(t, path, label)
	}
}

// fsck has the real checker look at a FAT partition of a disk image.
func fsck(t testing.TB, path string, label layout.Label) {
	t.Helper()
	v := openVolume(t, path, label)
	content := make([]byte, v.Size())
	if _, err := v.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "esp")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "/sbin/fsck.fat", "-n", name)
}

// legacyCfg is a grub.cfg with the one line that the first psyopsOS's tools
// know, as FORMATS.md describes it. The tests' kernel word is among those of
// its owner.
func legacyCfg(label layout.Label) []byte {
	entries := ""
	for _, side := range []layout.Label{layout.SideA, layout.SideB} {
		entries += fmt.Sprintf(`menuentry "%s" {
  search --no-floppy --set=root --label %s
  linux /kernel ro psyopsos=%s psyopsos.events=%s console=tty0 console=ttyS0,115200
  initrd /initramfs
}
`, side, side, side, vm.EventsDevice)
	}
	return []byte(fmt.Sprintf(`# neuralupgrade-info: last_updated=20240705-173840 default_boot_label=%s extra_programs=/oldtest.efi
serial --unit=0 --speed=115200
terminal_output console serial
set default="%s"
set timeout=1
%s`, label, label, entries))
}

// legacyDisk is a disk as the first psyopsOS's tools leave it: four partitions,
// GRUB with its folder and grub.cfg on an EFI system partition of 128 MiB, and
// no state. Side A holds the tests' release as the first psyopsOS's updater
// writes one: without BOOT.SUM. Side B has no manifest either.
func legacyDisk(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	grub := filepath.Join(dir, "grub.efi")
	run(t, "grub-mkimage", "-O", "x86_64-efi", "-p", "(,gpt1)/grub", "-o", grub, "part_gpt", "fat", "ext2", "normal", "configfile", "search", "search_label", "linux", "serial", "terminal", "test", "echo")
	files := []disk.File{{Path: layout.Loader, Source: grub}, {Path: layout.LegacyGrubCfg, Data: legacyCfg(layout.SideA)},
		{Path: "grub/x86_64-efi/normal.mod", Data: bytes.Repeat([]byte("module"), 30_000)}, {Path: "grub/fonts/unicode.pf2", Data: make([]byte, 2<<20)},
		{Path: layout.Manifest, Data: []byte(`{"version":1,"extra_programs":{"/oldtest.efi":"Old test"}}`)}, {Path: "oldtest.efi", Source: grub}}
	esp := filepath.Join(dir, "esp.img")
	when := time.Date(2024, 7, 5, 17, 38, 40, 0, time.UTC)
	if err := disk.FAT(t.Context(), esp, disk.FATOptions{Label: string(layout.EFISystem), SizeBytes: 128 << 20, VolumeID: 1}, files, when); err != nil {
		t.Fatal(err)
	}
	d := disk.Disk{GUID: disk.DerivedGUID(t.Name(), "disk"), Partitions: []disk.Partition{
		{Number: 1, Label: "EFI", TypeGUID: disk.TypeEFISystem, PartGUID: disk.DerivedGUID(t.Name(), "1"), SizeBytes: 128 << 20, Content: esp}}}
	for n, label := range map[int]layout.Label{2: layout.Secret, 3: layout.SideA, 4: layout.SideB} {
		content := filepath.Join(dir, string(label)+".img")
		copyVolume(t, label, content)
		if label.IsSide() {
			run(t, "/sbin/debugfs", "-w", "-R", "rm "+layout.BootSum, content)
		}
		if label == layout.SideB {
			run(t, "/sbin/debugfs", "-w", "-R", "rm "+layout.Manifest, content)
		}
		info, err := os.Stat(content)
		if err != nil {
			t.Fatal(err)
		}
		d.Partitions = append(d.Partitions, disk.Partition{Number: n, Label: string(label), TypeGUID: disk.TypeLinux,
			PartGUID: disk.DerivedGUID(t.Name(), fmt.Sprint(n)), SizeBytes: info.Size(), Content: content})
	}
	// Numbers are in disk order.
	parts := d.Partitions[1:]
	for i := range parts {
		for j := i + 1; j < len(parts); j++ {
			if parts[j].Number < parts[i].Number {
				parts[i], parts[j] = parts[j], parts[i]
			}
		}
	}
	path := filepath.Join(dir, "legacy.img")
	if err := disk.Image(t.Context(), path, d, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// copyVolume copies a volume of the shared disk to a sparse file.
func copyVolume(t testing.TB, label layout.Label, to string) {
	t.Helper()
	p := partition(t, images(t).Disk, label)
	run(t, "dd", "if="+images(t).Disk, "of="+to, "bs=1M", fmt.Sprintf("skip=%d", p.Start>>20), fmt.Sprintf("count=%d", p.Size>>20), "conv=sparse", "status=none")
	if err := os.Truncate(to, p.Size); err != nil {
		t.Fatal(err)
	}
}

// Issue 4: a disk of the first psyopsOS is recognised and shown; apply efisys
// moves it to the new loader, which starts the same side; then it is updated as
// any other.
func TestADiskOfTheFirstPsyopsOSIsMovedAndThenUpdated(t *testing.T) {
	dir, version := t.TempDir(), laterVersion(t)
	newerESP(t, dir, version)
	os1 := newerRelease(t)
	path := legacyDisk(t)
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}},
		Machine: vm.Machine{NICs: []vm.NIC{{}}}, Deadline: 15 * time.Minute})
	g.HandsOver()
	g.Login()
	g.judged()
	shown := g.Runs("neuralupgrade show")
	for _, want := range []string{"loader: first psyopsOS", "last_updated: 20240705-173840", "default_boot_label: psyopsOS-A", "nextboot_label: psyopsOS-A", "extra_programs: /oldtest.efi", "unchecked: true"} {
		if !strings.Contains(shown, want) {
			t.Errorf("show does not tell %q:\n%s", want, shown)
		}
	}
	if said, code := g.Tries("neuralupgrade apply nonbooted --repository " + os1.address + " 2>&1"); code != 1 || !strings.Contains(said, "first psyopsOS") {
		t.Errorf("an update without a move: exit status %d\n%s", code, said)
	}
	output := g.Runs("neuralupgrade apply nonbooted efisys --repository " + serve(t, dir) + " 2>&1")
	t.Log(output)
	for _, want := range []string{"this disk has no second loader", "nonbooted waits: the loader was changed"} {
		if !strings.Contains(output, want) {
			t.Errorf("apply does not say %q", want)
		}
	}
	fsck(t, path, layout.EFISystem)
	g.Restarts("reboot")
	g.Login()
	g.Prints("sed 's/.*psyopsos.boot=\\([^ ]*\\).*psyopsos.loader=\\([^ ]*\\).*/\\1 \\2/' /proc/cmdline", "good "+version)
	if words := g.Runs("cat /proc/cmdline"); !strings.Contains(words, "psyopsos.events="+vm.EventsDevice) {
		t.Fatalf("the kernel words of the disk's owner are lost: %s", words)
	}
	g.HandsOver()
	g.judged()
	g.Runs("neuralupgrade apply nonbooted --repository " + os1.address + " 2>&1")
	g.Restarts("reboot")
	g.HandsOver()
	g.Login()
	g.judged()
	g.Runs("neuralupgrade status | grep -q '^default: *psyopsOS-B'")

	copies := bootstate.ReadCopies(openVolume(t, path, layout.EFISystem), nil)
	state, _ := bootstate.Pick(copies.State1, copies.State2)
	if state.Good != layout.SideB || state.B != os1.version || state.Floor != os1.version || state.Alt != layout.SideA {
		t.Errorf("the disk says %+v", state)
	}
}
