//go:build qemu

package qemutests

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/deaddrop"
	"psyopsOS/deaddrop/s3test"
	"psyopsOS/image"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// A repository is releases on a server of this machine, as the guest reaches
// it on QEMU's user network.
type repository struct {
	address string
	version string // of the only release, which is newer than the disk's
	dir     string // that is served
}

// newerRelease signs what the disk image was made of once more, an hour later,
// and serves it. change changes what it is made of.
func newerRelease(t *testing.T, change ...func(*image.OSTarOptions)) repository {
	t.Helper()
	stages := filepath.Dir(filepath.Dir(images(t).Disk))
	old, err := filepath.Glob(filepath.Join(stages, "ostar", "psyopsOS.*.tar"))
	if err != nil || len(old) != 1 {
		t.Fatalf("the disk image's release: %q, %v", old, err)
	}
	name, err := release.ParseName(filepath.Base(old[0]))
	if err != nil {
		t.Fatal(err)
	}
	built, err := release.VersionTime(name.Version)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "keys", "development.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := release.ReadSecretKey(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for stage, names := range map[string][]string{
		"kernel":    {layout.Kernel, layout.KernelVersion, layout.SystemMap, layout.KernelConfig, layout.Modloop},
		"initramfs": {layout.Initramfs},
		"squashfs":  {layout.Squashfs, layout.UserlandVersion},
	} {
		for _, name := range names {
			members[name] = filepath.Join(stages, stage, name)
		}
	}
	members[layout.Squashfs] = changed(t, members[layout.Squashfs])
	dir := t.TempDir()
	later := built.Add(time.Hour)
	options := image.OSTarOptions{Members: members, Version: release.Version(later), Architecture: name.Platform,
		Kernel: images(t).KernelVersion, Userland: "testos 1", Key: key, Now: later, Dir: dir}
	for _, change := range change {
		change(&options)
	}
	r, err := image.OSTar(context.Background(), options, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(r.Signature), filepath.Join(dir, release.LatestSignature(release.OS, name.Platform))); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return repository{strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1), release.Version(later), dir}
}

// changed is a squashfs of another hash, which holds the same: what lies behind
// its end is not looked at.
func changed(t *testing.T, squashfs string) string {
	t.Helper()
	content, err := os.ReadFile(squashfs)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), layout.Squashfs)
	if err := os.WriteFile(name, append(content, make([]byte, 4096)...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// pushed moves the release into a bucket of a real S3 server, whose website
// endpoint answers latest with a 301. hosts is what the guest's /etc/hosts
// needs: such an endpoint tells buckets apart by the name that it is called by.
func (r repository) pushed(t *testing.T) (pushed repository, hosts string) {
	t.Helper()
	gateway, dir := s3test.Start(t), t.TempDir()
	if err := os.Rename(r.dir, filepath.Join(dir, deaddrop.Releases)); err != nil {
		t.Fatal(err)
	}
	push := exec.Command(tkBinary(t), "deaddrop", "push", "--dir", dir, "--bucket", "s3://"+s3test.Bucket)
	push.Env = append(append(os.Environ(), "PSYOPSOS_CONFIG=none"), gateway.Environment()...)
	if said, err := push.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", push.Args, err, said)
	}
	_, port, err := net.SplitHostPort(gateway.Website)
	if err != nil {
		t.Fatal(err)
	}
	r.dir, r.address = filepath.Join(dir, deaddrop.Releases), "http://"+s3test.Bucket+":"+port+"/"+deaddrop.Releases
	return r, "10.0.2.2 " + s3test.Bucket
}

// Issues 4 and 5: the good path, from a bucket to the other side, through
// GRUB's trial to the commit.
func TestAnUpdateGoesOverTheNetworkToTheOtherSide(t *testing.T) {
	repo, hosts := newerRelease(t).pushed(t)
	path, _ := ownDisk(t)
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}},
		Machine: vm.Machine{NICs: []vm.NIC{{}}}, Deadline: 9 * time.Minute})
	g.HandsOver()
	g.Login()
	g.Runs("echo '" + hosts + "' >>/etc/hosts; export NEURALUPGRADE_REPOSITORY=" + repo.address)
	if output, code := g.Tries("neuralupgrade check --target nonbooted"); code != 10 || !strings.Contains(output, "not version "+repo.version) {
		t.Errorf("check: exit status %d\n%s", code, output)
	}
	g.judged()
	output := g.Runs("neuralupgrade apply nonbooted 2>&1")
	t.Log(output)
	if !strings.Contains(output, "neuralupgrade INFO Updated nonbooted side psyopsOS-B with http://") {
		t.Error("apply does not say what it did")
	}
	g.Prints("grep -c /dev/vda /proc/mounts || true", "0")
	g.Runs("neuralupgrade show | grep -q 'nextboot_label: psyopsOS-B'")
	if output, code := g.Tries("neuralupgrade apply b 2>&1"); code != 1 || !strings.Contains(output, "on trial") {
		t.Errorf("apply during an undecided trial: exit status %d\n%s", code, output)
	}
	g.Restarts("reboot")
	g.Sees(func(e step.Event) bool { return e.Key == "device" && e.Value == "vda4" })
	g.Login()
	status := g.Runs("neuralupgrade status")
	for _, want := range []string{"psyopsOS-B", "trial2", repo.version} {
		if !strings.Contains(status, want) {
			t.Errorf("status does not tell %q:\n%s", want, status)
		}
	}
	// The health service commits by itself; a second commit finds nothing.
	g.Runs("for i in $(seq 60); do neuralupgrade status | grep -q '^default: *psyopsOS-B' && break; sleep 1; done; neuralupgrade status | grep -q '^default: *psyopsOS-B'")
	if said := g.Runs("neuralupgrade commit"); !strings.Contains(said, "nothing to commit: psyopsOS-B is the default") {
		t.Errorf("the second commit says %q", said)
	}
	g.PowersOff()

	copies := bootstate.ReadCopies(openVolume(t, path, layout.EFISystem), openVolume(t, path, layout.EFISystem2))
	state, _ := bootstate.Pick(copies.State1, copies.State2)
	if state.Good != layout.SideB || state.Try != "" || state.Alt != layout.SideA || state.B != repo.version || state.Floor != repo.version {
		t.Errorf("the disk says %+v", state)
	}
	if string(copies.State1) != string(copies.State2) {
		t.Error("the two copies differ")
	}
}
