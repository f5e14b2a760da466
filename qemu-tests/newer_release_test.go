//go:build qemu

package qemutests

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"psyopsOS/deaddrop"
	"psyopsOS/deaddrop/s3test"
	"psyopsOS/image"
	"psyopsOS/layout"
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
func newerRelease(t testing.TB, change ...func(*image.OSTarOptions)) repository {
	t.Helper()
	p := newPublisher(t)
	p.members[layout.Squashfs] = changed(t, p.members[layout.Squashfs])
	p.newest = p.newest.Add(time.Hour)
	version := p.signs(change...)
	return repository{p.address, version, p.dir}
}

// changed is a squashfs of another hash, which holds the same: what lies behind
// its end is not looked at.
func changed(t testing.TB, squashfs string) string {
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

// pushed has tk bring a folder of releases into a bucket of a real S3 server,
// whose website endpoint, at address, answers latest with a 301. hosts is what
// the guest's /etc/hosts needs: such an endpoint tells buckets apart by the name
// that it is called by.
func pushed(t testing.TB, releases string) (address, hosts string) {
	t.Helper()
	gateway, dir := s3test.Start(t), t.TempDir()
	run(t, "cp", "-al", releases, filepath.Join(dir, deaddrop.Releases))
	push := exec.Command(tkBinary(t), "deaddrop", "push", "--dir", dir, "--bucket", "s3://"+s3test.Bucket)
	push.Env = append(append(os.Environ(), "PSYOPSOS_CONFIG=none"), gateway.Environment()...)
	if said, err := push.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", push.Args, err, said)
	}
	_, port, err := net.SplitHostPort(gateway.Website)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + s3test.Bucket + ":" + port + "/" + deaddrop.Releases, "10.0.2.2 " + s3test.Bucket
}
