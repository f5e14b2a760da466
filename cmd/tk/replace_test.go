package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"psyopsOS/image/sbom"
)

// rehearse runs tk in a checkout that has nothing to build from: a stage that
// ran for a part's own place would fail.
func rehearse(t *testing.T, args ...string) (said string, status int) {
	t.Helper()
	var out bytes.Buffer
	status = run(t.Context(), env{stdin: strings.NewReader(""), stdout: &out, stderr: &out}, args)
	return out.String(), status
}

// initramfsTrusting is one that holds a public key and nothing else.
func initramfsTrusting(t *testing.T, key string) []byte {
	t.Helper()
	public, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	w := cpio.Newc.Writer(z)
	for i, r := range []cpio.Record{cpio.Directory("etc", 0o755), cpio.Directory("etc/psyopsOS", 0o755), cpio.StaticFile("etc/psyopsOS/minisign.pubkey", string(public), 0o644)} {
		r.Ino = uint64(i + 1)
		if err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Issue 4: a release may have parts from elsewhere. Nothing is built in their
// place, and the bill of materials tells of them what is known: their hashes.
func TestAReleaseOfPartsFromElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(configVariable, "none")
	t.Setenv("SOURCE_DATE_EPOCH", "1795255200")
	write(t, "go.mod", []byte("module psyopsOS\n"))
	for _, name := range []string{"ours", "theirs"} {
		if said, status := rehearse(t, "signify", "keygen", name, "--no-password"); status != 0 {
			t.Fatal(said)
		}
	}
	for _, name := range []string{"kernel", "modloop", "squashfs"} {
		write(t, name, []byte("the "+name+" of somebody else"))
	}
	write(t, "initramfs", initramfsTrusting(t, "ours.pub"))
	build := []string{"mkimage", "ostar-dd", "--sign-key", "ours.key", "--dir", "rehearsal"}
	for _, name := range []string{"kernel", "initramfs", "modloop", "squashfs"} {
		build = append(build, "--replace", name+"="+name)
	}
	if said, status := rehearse(t, build...); status != 0 {
		t.Fatal(said)
	}
	const name = "psyopsOS.x86_64.20261121-100000"
	shown, status := rehearse(t, "deaddrop", "ls", "--dir", "rehearsal")
	if status != 0 || !strings.Contains(shown, name+".tar") {
		t.Errorf("the deaddrop: %s", shown)
	}
	tar, err := os.ReadFile("rehearsal/os/" + name + ".tar")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the squashfs of somebody else", `"kernel":"replaced","userland":"replaced"`} {
		if !bytes.Contains(tar, []byte(want)) {
			t.Errorf("the release has no %q", want)
		}
	}
	if made, err := filepath.Glob("artifacts/stages/[a-z]*"); err != nil || len(made) != 3 {
		t.Errorf("the stages are %q, %v; want ostar, ostar-dd and sbom alone", made, err)
	}
	bill, err := os.Open("rehearsal/os/" + name + ".cdx.json")
	if err != nil {
		t.Fatal(err)
	}
	defer bill.Close()
	bom, err := sbom.Read(bill)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range *bom.Components {
		got = append(got, string(c.Type)+" "+c.Name+" "+c.Version)
	}
	want := []string{"operating-system linux replaced", "operating-system userland replaced", "file initramfs ", "file kernel ", "file modloop ", "file squashfs "}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the bill tells of %q, want %q", got, want)
	}

	// A disk of it needs no part of ours either.
	if _, err := exec.LookPath("grub-mkimage"); err == nil {
		disk := append([]string{"mkimage", "diskimg", "--size", "psyopsOS-A=16", "--size", "psyopsOS-B=16", "--size", "psyops-secret=16"}, build[2:]...)
		if said, status := rehearse(t, disk...); status != 0 {
			t.Error(said)
		}
	}

	// Other contents of the same file make another release.
	write(t, "squashfs", []byte("another squashfs"))
	if said, status := rehearse(t, append([]string{"mkimage", "--why", "ostar"}, build[2:]...)...); status != 0 || !strings.Contains(said, "/squashfs") || strings.Contains(said, "/kernel") {
		t.Errorf("--why: %s", said)
	}
	// What no machine would boot is refused, whoever has built it.
	write(t, "initramfs", initramfsTrusting(t, "theirs.pub"))
	if said, status := rehearse(t, build...); status != 1 || !strings.Contains(said, "the keys in the initramfs do not verify this release") {
		t.Errorf("a foreign initramfs: exit status %d\n%s", status, said)
	}
}

func TestWhatCannotBeReplacedIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "file", []byte("x"))
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"sqashfs=file"}, `--replace "sqashfs": want one of squashfs, initramfs, modloop, kernel`},
		{[]string{"squashfs"}, `want MEMBER=FILE`},
		{[]string{"squashfs="}, `want MEMBER=FILE`},
		{[]string{"squashfs=nowhere"}, "--replace squashfs=nowhere: stat nowhere: no such file"},
		{[]string{"squashfs=."}, ". is no regular file"},
		{[]string{"kernel=file", "kernel=file"}, "it has been replaced by"},
	} {
		if got, err := takeReplacements(c.words); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, %v; want %q", c.words, got, err, c.want)
		}
	}
}

// Where one part is from elsewhere, its stage is not asked for, and the others
// are.
func TestTheStageOfAReplacedPartIsNotNeeded(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(configVariable, "none")
	t.Setenv("SOURCE_DATE_EPOCH", "1795255200")
	write(t, "go.mod", []byte("module psyopsOS\n"))
	write(t, "file", []byte("x"))
	if err := os.Mkdir("k", 0o755); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string][]string{
		"squashfs":                          {"kernel", "initramfs"},
		"initramfs":                         {"kernel", "squashfs"},
		"modloop":                           {"kernel", "squashfs", "initramfs"},
		"kernel":                            {"kernel", "squashfs", "initramfs"},
		"kernel modloop":                    {"squashfs", "initramfs"},
		"initramfs modloop kernel squashfs": {},
	} {
		args := []string{"mkimage", "--why", "ostar", "--json", "--userland", "tar:file", "--kernel", "k"}
		for member := range strings.FieldsSeq(words) {
			args = append(args, "--replace", member+"=file")
		}
		said, status := rehearse(t, args...)
		if status != 0 {
			t.Fatal(said)
		}
		for _, stage := range []string{"kernel", "squashfs", "initramfs"} {
			if got := strings.Contains(said, `"Input": "`+stage+`-`); got != slices.Contains(want, stage) {
				t.Errorf("with another %s, stage %s runs: %t\n%s", words, stage, got, said)
			}
		}
	}
}
