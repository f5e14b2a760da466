package image

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/release"
)

const testVersion = "20261121-101500"

func TestMinisignVerifiesTheTarAndItsManifest(t *testing.T) {
	rel := mustOSTar(t, testOSTar(t))
	dir := t.TempDir()
	public, _ := testKey(t, "ours")
	pub := writeFile(t, dir, "pub", string(public.Text()))
	out := judge(t, "minisign", "-V", "-p", pub, "-m", rel.Tar)
	stat, err := os.Stat(rel.Tar)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("Trusted comment: type=psyopsOS filename=psyopsOS.x86_64.20261121-101500.tar version=20261121-101500 "+
		"kernel=6.1.0-1-amd64 alpine=testos-1 architecture=x86_64 size=%d\n", stat.Size())
	if !strings.HasSuffix(out, want) {
		t.Errorf("got %q, want it to end in %q", out, want)
	}
	judge(t, "tar", "-C", dir, "-xf", rel.Tar, layout.Manifest, layout.ManifestSignature)
	judge(t, "minisign", "-V", "-p", pub, "-m", filepath.Join(dir, layout.Manifest))
}

func TestGNUTarListsManifestAndSignatureFirstThenTheRestSorted(t *testing.T) {
	o := testOSTar(t)
	rel := mustOSTar(t, o)
	want := append([]string{layout.Manifest, layout.ManifestSignature}, slices.Sorted(maps.Keys(o.Members))...)
	if got := strings.Fields(judge(t, "tar", "-tf", rel.Tar)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for line := range strings.Lines(judge(t, "tar", "--numeric-owner", "-tvf", rel.Tar)) {
		if !strings.HasPrefix(line, "-rw-r--r-- 0/0 ") || !strings.Contains(line, " 2026-11-21 10:15 ") {
			t.Errorf("member %q: want mode 0644, owner 0/0, the release's time", line)
		}
	}
}

func TestTheTarIsTheSameForAnotherUmaskTimeZoneFolderAndClock(t *testing.T) {
	o := testOSTar(t)
	one := mustOSTar(t, o)
	defer syscall.Umask(syscall.Umask(0o077))
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Chdir(t.TempDir())
	o.Dir, o.Now = ".", o.Now.AddDate(1, 0, 0)
	for name, source := range o.Members {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		o.Members[name] = writeFile(t, "in", name, string(content))
	}
	two := mustOSTar(t, o)
	for _, pair := range [][2]string{{one.Tar, two.Tar}, {one.Signature, two.Signature}} {
		a, err1 := os.ReadFile(pair[0])
		b, err2 := os.ReadFile(pair[1])
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs (%v, %v)", filepath.Base(pair[0]), err1, err2)
		}
	}
}

func TestOSTarRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*OSTarOptions)
		want  string
	}{
		{"an initramfs with another key", func(o *OSTarOptions) {
			other, _ := testKey(t, "other")
			o.Members[layout.Initramfs] = testInitramfs(t, t.TempDir(), other)
		}, "do not verify"},
		{"an initramfs that wants two signatures", func(o *OSTarOptions) {
			ours, _ := testKey(t, "ours")
			other, _ := testKey(t, "other")
			o.Members[layout.Initramfs] = testInitramfs(t, t.TempDir(), ours, other)
			addThreshold(t, o.Members[layout.Initramfs], "2\n", ours, other)
		}, "do not verify"},
		{"an initramfs that is none", func(o *OSTarOptions) { o.Members[layout.Initramfs] = o.Members[layout.Kernel] }, "read the keys"},
		{"no squashfs", func(o *OSTarOptions) { delete(o.Members, layout.Squashfs) }, "no squashfs"},
		{"a member that no side may hold", func(o *OSTarOptions) { o.Members["etc/passwd"] = o.Members[layout.Kernel] }, "no member"},
		{"a version in the future", func(o *OSTarOptions) { o.Now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }, "15m0s in the future"},
		{"a version that is none", func(o *OSTarOptions) { o.Version = "v1" }, "YYYYmmdd"},
		{"a member that is not there", func(o *OSTarOptions) { o.Members[layout.Kernel] += "x" }, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOSTar(t)
			tt.spoil(&o)
			_, err := OSTar(context.Background(), o, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
				t.Errorf("left %v behind", left)
			}
		})
	}
}

// addThreshold makes the initramfs anew with a threshold file beside the keys.
func addThreshold(t *testing.T, initramfs, threshold string, keys ...release.PublicKey) {
	t.Helper()
	o := InitramfsOptions{Init: writeFile(t, t.TempDir(), "init", "x"), Out: initramfs,
		Keys: map[string][]byte{release.ThresholdFile: []byte(threshold)}}
	for i, k := range keys {
		o.Keys[fmt.Sprintf("%d.pub", i)] = k.Text()
	}
	if err := Initramfs(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

func TestAMemberThatChangesWhileTheTarIsWrittenIsNoticed(t *testing.T) {
	o := testOSTar(t)
	_, err := OSTar(context.Background(), o, func(int64, int64) {
		if err := os.WriteFile(o.Members[layout.Squashfs], bytes.Repeat([]byte("SQUASHFS"), 1000), 0o600); err != nil {
			t.Error(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "changed while") {
		t.Errorf("got %v, want an error about the change", err)
	}
}

// Issue 4: two of three keys make a release, and its side has what a boot
// needs to count to two.
func TestTwoOfThreeKeysMakeARelease(t *testing.T) {
	o := testOSTar(t)
	first, _ := testKey(t, "ours")
	second, cosigner := testKey(t, "second")
	third, _ := testKey(t, "third")
	addThreshold(t, o.Members[layout.Initramfs], "2", first, second, third)
	if _, err := OSTar(context.Background(), o, nil); err == nil || !strings.Contains(err.Error(), "1 of 2") {
		t.Fatalf("signed by one key: got %v, want a refusal with the counts", err)
	}
	o.Cosigners = []release.SecretKey{cosigner}
	rel := mustOSTar(t, o)
	keys, err := InitramfsKeys(o.Members[layout.Initramfs])
	if err != nil {
		t.Fatal(err)
	}
	side := filepath.Join(t.TempDir(), "side")
	if _, err := WriteSide(context.Background(), side, rel.Tar, keys); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{layout.ManifestSignature, layout.OSTarSignature} {
		all, err := release.ReadSignatures(os.DirFS(side), name)
		if err != nil || len(all) != 2 || all[1].Suffix != "."+second.ID() {
			t.Errorf("%s: got %v, %v", name, all, err)
		}
	}
	// Without the second signature it is no release.
	if err := os.Remove(rel.Signature + "." + second.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteSide(context.Background(), side+"2", rel.Tar, keys); err == nil || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("without the second signature: got %v", err)
	}
}
