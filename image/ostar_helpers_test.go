package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/release"
)

// testKey is the key pair that follows from seed.
func testKey(t *testing.T, seed string) (release.PublicKey, release.SecretKey) {
	t.Helper()
	sum := sha256.Sum256([]byte(seed))
	public, secret, err := release.GenerateKey(bytes.NewReader(bytes.Repeat(sum[:], 4)))
	if err != nil {
		t.Fatal(err)
	}
	return public, secret
}

// testInitramfs is an initramfs that trusts the keys, and holds nothing else
// worth mentioning.
func testInitramfs(t *testing.T, dir string, keys ...release.PublicKey) string {
	t.Helper()
	o := InitramfsOptions{Init: writeFile(t, dir, "init", "#!init"), Out: filepath.Join(dir, "initramfs"), Keys: map[string][]byte{}}
	for i, k := range keys {
		o.Keys[fmt.Sprintf("%d.pub", i)] = k.Text()
	}
	if err := Initramfs(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	return o.Out
}

func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func testOSTar(t *testing.T) OSTarOptions {
	t.Helper()
	public, secret := testKey(t, "ours")
	in := t.TempDir()
	o := OSTarOptions{Version: testVersion, Architecture: "x86_64", Kernel: "6.1.0-1-amd64", Userland: "testos 1",
		Key: secret, Now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Dir: t.TempDir(),
		Members: map[string]string{layout.Initramfs: testInitramfs(t, in, public)}}
	for _, name := range []string{layout.Kernel, layout.KernelVersion, layout.Modloop, layout.Squashfs, layout.UserlandVersion,
		layout.SystemMap, layout.KernelConfig, "dtbs/vendor/" + strings.Repeat("long-", 30) + ".dtb"} {
		o.Members[name] = writeFile(t, in, name, strings.Repeat(name, 1000))
	}
	return o
}

func mustOSTar(t *testing.T, o OSTarOptions) OSRelease {
	t.Helper()
	rel, err := OSTar(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

func ourKeys(t *testing.T) release.Keys {
	t.Helper()
	public, _ := testKey(t, "ours")
	keys, err := release.NewKeys(1, public)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// judge runs a program that must end well, and returns what it said.
func judge(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C", "TZ=UTC")
	cmd.Path, _ = exec.LookPath(name)
	if cmd.Path == "" {
		cmd.Path = filepath.Join("/usr/sbin", name)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
