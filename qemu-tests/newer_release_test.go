//go:build qemu

package qemutests

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"psyopsOS/deaddrop"
	"psyopsOS/deaddrop/s3test"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// A repository is a publisher's with one release, which is newer than the disk's.
type repository struct {
	*publisher
	version string
}

// newerRelease is one that holds what the disk's holds.
func newerRelease(t testing.TB, parts ...part) repository {
	t.Helper()
	return onlyRelease(t, append(parts, sameRoot)...)
}

func onlyRelease(t testing.TB, parts ...part) repository {
	t.Helper()
	p := newPublisher(t)
	return repository{p, p.publishes(parts...)}
}

// tar is the release's file.
func (r repository) tar() string {
	return filepath.Join(r.dir, deaddrop.Releases, release.Name{Kind: release.OS, Platform: "x86_64", Version: r.version}.String())
}

// sameRoot is the squashfs of the disk with another hash: what lies behind its
// end is not looked at.
func sameRoot(t testing.TB) []string {
	t.Helper()
	return replacedBy(t, layout.Squashfs, append(read(t, images(t).Squashfs), make([]byte, 4096)...))
}

// pushed has tk bring a deaddrop into a bucket of a real S3 server,
// whose website endpoint, at address, answers latest with a 301. hosts is what
// the guest's /etc/hosts needs: such an endpoint tells buckets apart by the name
// that it is called by.
func pushed(t testing.TB, dir string) (address, hosts string) {
	t.Helper()
	gateway := s3test.Start(t)
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
