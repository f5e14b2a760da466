package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/image/base"
	"psyopsOS/step"
)

// makeApks is the script command `apks FOLDER KEY NAME-VERSION…`: a repository
// of packages whose index is signed with the key that keys/KEY.rsa.pub is of.
func makeApks(ts *testscript.TestScript, _ bool, args []string) {
	dir, name := ts.MkAbs(args[0]), args[1]+".rsa"
	ts.Check(makePackageKey(filepath.Join(ts.MkAbs("secret"), name)))
	signer, err := packageSigner(filepath.Join(ts.MkAbs("secret"), name), "")
	ts.Check(err)
	public, err := alpine.RenderKey(&signer.Key.PublicKey)
	ts.Check(err)
	keys := ts.MkAbs("keys-of-" + args[1])
	ts.Check(errors.Join(os.MkdirAll(keys, 0o755), os.WriteFile(filepath.Join(keys, signer.Name), public, 0o644)))
	var packages []alpinetest.Package
	for _, word := range args[2:] {
		word, content, _ := strings.Cut(word, "+")
		at := strings.LastIndex(word[:strings.LastIndex(word, "-")], "-")
		packages = append(packages, alpinetest.New(word[:at], word[at+1:], signer).File("usr/share/"+word[:at], 0o644, word+content))
	}
	ts.Check(alpinetest.Repository(dir, signer, packages...))
}

// Our packages are read back by our own reader, and by programs that know
// nothing of it: openssl verifies the signatures, tar lists what is inside.
func TestOurPackagesAreAlpines(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	program := filepath.Join(dir, "init")
	if err := os.WriteFile(program, []byte("the program"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := project{source: source{Time: time.Date(2026, 11, 21, 6, 5, 4, 0, time.UTC), Revision: "abc"}}
	contents, err := p.ourPackages(program)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := packageSigner("", keys)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(keys, "development-packages.rsa")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret key: %v, %v", info, err)
	}
	if again, err := packageSigner("", keys); err != nil || !again.Key.Equal(signer.Key) {
		t.Errorf("the key is made anew each time: %v", err)
	}
	repository := filepath.Join(dir, "apks")
	described, err := alpine.WriteRepository(repository, "test", contents, signer)
	if err != nil {
		t.Fatal(err)
	}
	if got := described[0].File(); got != "neuralupgrade-20261121.060504-r0.apk" {
		t.Errorf("the first package is %s", got)
	}
	checkWithOpenssl(t, repository, signer.Name, described)
	others := filepath.Join(dir, "others")
	if err := alpinetest.Repository(others, signer, alpinetest.New("openrc", "1-r0", signer)); err != nil { // which ours want
		t.Fatal(err)
	}
	trusted, err := alpine.ReadKeys(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	var got alpine.Userland
	world := alpinetest.Dependencies("psyopsOS-base")
	client := alpine.Client{Cache: t.TempDir(), Arch: "x86_64", Do: http.DefaultClient.Do}
	repositories := []alpine.Repository{{Address: repository, Keys: trusted}, {Address: others, Keys: trusted}}
	err = step.Run(t.Context(), step.Lines(os.Stderr, "", step.Quiet), func() time.Duration { return 0 }, step.Step{Name: "install", Do: func(ctx context.Context, r *step.Reporter) error {
		available, err := client.Available(ctx, r, repositories)
		if err != nil {
			return err
		}
		packages, err := alpine.Resolve(world, available)
		if err != nil {
			return err
		}
		files, err := client.Fetch(ctx, r, packages)
		if err != nil {
			return err
		}
		got, err = alpine.Install(files, alpine.Options{World: world, Repositories: repositories, Arch: "x86_64"})
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := got.Tree.Get("usr/sbin/neuralupgrade"); !ok || n.Mode != 0o755 || n.Size != 11 {
		t.Errorf("neuralupgrade is %+v", n)
	}
	overlay, err := base.Overlay()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range overlay.All() {
		if n, ok := got.Tree.Get(name); !ok || n.Mode != want.Mode || n.Target != want.Target {
			t.Errorf("%s is %+v, want %+v", name, n, want)
		}
	}
}

// checkWithOpenssl verifies the signatures of index and packages by openssl
// alone. Each file is gzip members one behind the other, the first of them
// with the signature of the second; gzip's magic tells where one begins.
func checkWithOpenssl(t *testing.T, repository, key string, packages []alpine.Package) {
	t.Helper()
	names := []string{"APKINDEX.tar.gz"}
	for _, p := range packages {
		names = append(names, p.File())
	}
	for _, name := range names {
		name = filepath.Join(repository, "x86_64", name)
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(file), "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")[1:]
		dir := t.TempDir()
		signed := filepath.Join(dir, "signed")
		member := "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + parts[1]
		if err := os.WriteFile(signed, []byte(member), 0o644); err != nil {
			t.Fatal(err)
		}
		list, err := exec.Command("tar", "-tzf", name).CombinedOutput()
		if err != nil {
			t.Fatalf("tar: %v\n%s", err, list)
		}
		signature := strings.Split(string(list), "\n")[0]
		if signature != ".SIGN.RSA256."+key {
			t.Errorf("%s begins with %s", name, signature)
		}
		if said, err := exec.Command("tar", "-xzf", name, "-C", dir, signature).CombinedOutput(); err != nil {
			t.Fatalf("tar: %v\n%s", err, said)
		}
		said, err := exec.Command("openssl", "dgst", "-sha256", "-verify", filepath.Join(repository, key), "-signature", filepath.Join(dir, signature), signed).CombinedOutput()
		if err != nil || !strings.Contains(string(said), "Verified OK") {
			t.Errorf("%s: openssl: %v\n%s", name, err, said)
		}
	}
}

func TestSettingsThatFollowFromOthers(t *testing.T) {
	for _, c := range []struct {
		name     string
		in       imageSettings
		firmware []string
		apart    []string
	}{
		{"an Alpine kernel for hardware has its firmware", imageSettings{Kernel: "alpine:linux-lts"}, []string{"alpine:linux-firmware-*"}, []string{"linux-lts", "linux-firmware-*"}},
		{"one for virtual machines has none", imageSettings{Kernel: "alpine:linux-virt"}, nil, []string{"linux-virt"}},
		{"what was said counts", imageSettings{Kernel: "alpine:linux-lts", Firmware: []string{"alpine:linux-firmware-intel", "/blobs"}}, []string{"alpine:linux-firmware-intel", "/blobs"}, []string{"linux-lts", "linux-firmware-intel"}},
		{"none is none", imageSettings{Kernel: "alpine:linux-lts", Firmware: []string{"none"}}, nil, []string{"linux-lts"}},
		{"Debian's kernel has none by itself", imageSettings{Kernel: "generic"}, nil, nil},
	} {
		if got := c.in.withDefaults(); !slices.Equal(got.Firmware, c.firmware) || !slices.Equal(got.apart(), c.apart) {
			t.Errorf("%s: got %q and %q", c.name, got.Firmware, got.apart())
		}
	}
}

func TestAPackageKeyThatCannotBeUsedIsTold(t *testing.T) {
	if _, err := packageSigner(filepath.Join(t.TempDir(), "no.rsa"), ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(step.HintOf(err), "abuild-keygen") {
		t.Errorf("got %v, hint %q", err, step.HintOf(err))
	}
	name := filepath.Join(t.TempDir(), "locked.rsa")
	if said, err := exec.Command("openssl", "genrsa", "-aes128", "-passout", "pass:x", "-out", name, "2048").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, said)
	}
	if _, err := packageSigner(name, ""); err == nil || !strings.Contains(err.Error(), "has a password") {
		t.Errorf("got %v", err)
	}
	for _, traditional := range []string{"-traditional", "-verbose"} {
		if said, err := exec.Command("openssl", "genrsa", traditional, "-out", name, "2048").CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v\n%s", err, said)
		}
		if s, err := packageSigner(name, ""); err != nil || s.Name != "locked.rsa.pub" {
			t.Errorf("%s: got %v, %v", traditional, s.Name, err)
		}
	}
}

func TestAFolderThatIsNotThereIsNamed(t *testing.T) {
	_, err := readFolder("linux-lts")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "folder linux-lts") || !strings.Contains(step.HintOf(err), "alpine:PACKAGE") {
		t.Errorf("got %v, hint %q", err, step.HintOf(err))
	}
}
