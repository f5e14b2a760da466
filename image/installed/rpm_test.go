package installed_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"psyopsOS/image"
	"psyopsOS/image/installed"
	"psyopsOS/image/rpm"
	"psyopsOS/image/rpm/rpmtest"
	"psyopsOS/image/tree"
)

// rpmDatabase has rpm itself install two packages and a key, and gives the
// database.
func rpmDatabase(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--dbpath", dir, "--define", "_db_backend sqlite", "--nodeps", "--justdb", "--noscripts", "--ignorearch", "-i"}
	for _, name := range []string{"kernel-core", "busybox"} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, rpmtest.Build(t, rpmtest.Package{Name: name, Version: "6.9", Root: root}))
	}
	home, err := os.MkdirTemp("", "gpg-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	key := filepath.Join(dir, "key.asc")
	for _, line := range [][]string{append([]string{"rpm"}, args...),
		{"gpg", "--homedir", home, "--batch", "--passphrase", "", "--quick-gen-key", "test@example.org", "rsa2048", "sign"},
		{"gpg", "--homedir", home, "--batch", "--armor", "--output", key, "--export"},
		{"gpgconf", "--homedir", home, "--kill", "gpg-agent"},
		{"rpm", "--dbpath", dir, "--define", "_db_backend sqlite", "--import", key},
	} {
		if said, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", line, err, said)
		}
	}
	return filepath.Join(dir, "rpmdb.sqlite")
}

func withDatabase(t *testing.T, place string, content []byte) *tree.Tree {
	t.Helper()
	x := tree.New()
	for name, content := range map[string]string{place: string(content), "etc/os-release": "ID=fedora\n"} {
		if err := x.AddFile(name, 0o644, content); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func TestWhatRPMHasInstalled(t *testing.T) {
	database := rpmDatabase(t)
	content, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	p := func(name string) image.Package {
		return image.Package{Type: "rpm", Distro: "fedora", Name: name, Version: "6.9-1.test", Arch: "x86_64", License: "GPL-2.0-only", Origin: name + "-6.9-1.test.src.rpm"}
	}
	want := []image.Package{p("busybox"), p("kernel-core")}
	for _, place := range []string{"var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite"} {
		got, unread, err := installed.Packages(withDatabase(t, place, content))
		if err != nil || !reflect.DeepEqual(got, want) || unread != nil {
			t.Errorf("%s: got %+v, %v, %v\nwant %+v", place, got, unread, err, want)
		}
	}
	for name, damaged := range map[string][]byte{"cut off": content[:len(content)/2], "no database": []byte("not a database, whatever it is called"), "empty": nil} {
		if got, _, err := installed.Packages(withDatabase(t, "var/lib/rpm/rpmdb.sqlite", damaged)); err == nil || !strings.Contains(err.Error(), "var/lib/rpm/rpmdb.sqlite") {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func FuzzParseInstalled(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 3, 0xe8, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 'b', 'c', 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, header []byte) {
		if p, err := rpm.ParseInstalled(header); err == nil && p.Name == "" {
			t.Errorf("a package without a name")
		}
	})
}
