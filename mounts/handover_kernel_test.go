package mounts_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"psyopsOS/mounts"
)

// fillFolder makes files below a folder. A name that ends in "/" is a folder,
// one that ends in "@" a link; a content that begins with "#!" or ELF is made
// executable.
func fillFolder(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(dir, strings.TrimSuffix(name, "@"))
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		switch {
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(full, 0o755))
		case strings.HasSuffix(name, "@"):
			err = errors.Join(err, os.Symlink(content, full))
		default:
			mode := fs.FileMode(0o644)
			if strings.HasPrefix(content, "#!") || strings.HasPrefix(content, "\x7fELF") {
				mode = 0o755
			}
			err = errors.Join(err, os.WriteFile(full, []byte(content), mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// elf is the head of a program; with a loader it is a dynamic one.
func elf(loader string) string {
	b := make([]byte, 64+56)
	copy(b, "\x7fELF\x02\x01\x01")
	b[32], b[54] = 64, 56
	if loader != "" {
		b[56] = 1
		b[64] = 3
		b[64+8] = byte(len(b))
		b[64+32] = byte(len(loader) + 1)
		return string(b) + loader + "\x00"
	}
	return string(b)
}

func TestCheckInit(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string // in the error; empty for none
	}{
		{"a static program", map[string]string{"sbin/init": elf("")}, ""},
		{"a link to an absolute path, as busybox has it", map[string]string{"sbin/init@": "/bin/busybox", "bin/busybox": elf("")}, ""},
		{"a relative link through a linked folder", map[string]string{"sbin@": "usr/sbin", "usr/sbin/init@": "../bin/init", "usr/bin/init": elf("")}, ""},
		{"a dynamic program with its loader", map[string]string{"sbin/init": elf("/lib/ld.so"), "lib/ld.so": elf("")}, ""},
		{"a script", map[string]string{"sbin/init": "#! /bin/sh -e\n", "bin/sh": elf("")}, ""},
		{"nothing", nil, "no such file"},
		{"a link that leads out of the new root", map[string]string{"sbin/init@": "../../../../../../../../bin/sh"}, "no such file"},
		{"a link to itself", map[string]string{"sbin/init@": "init"}, "too many levels"},
		{"a folder", map[string]string{"sbin/init/": ""}, "is no regular file"},
		{"a file that is not executable", map[string]string{"sbin/init": "text"}, "is not executable"},
		{"a dynamic program whose loader is missing", map[string]string{"sbin/init": elf("/lib/ld-musl.so")}, "needs /lib/ld-musl.so"},
		{"a script whose interpreter is missing", map[string]string{"sbin/init": "#!/bin/zsh\n"}, "needs /bin/zsh"},
		{"a script without interpreter", map[string]string{"sbin/init": "#!\n"}, "names no interpreter"},
		{"a script that is its own interpreter", map[string]string{"sbin/init": "#!/sbin/init\n"}, "too many interpreters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			fillFolder(t, root, test.files)
			err := mounts.CheckInit(root, "/sbin/init")
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestCheckInitRefusesWhatIsNoProgram(t *testing.T) {
	root := t.TempDir()
	name := filepath.Join(root, "init")
	if err := os.WriteFile(name, []byte("an executable text"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mounts.CheckInit(root, "/init"); err == nil || !strings.Contains(err.Error(), "neither an ELF program nor a script") {
		t.Errorf("a text: got %v", err)
	}
	if err := mounts.CheckInit(root, "init"); err == nil {
		t.Error("a relative path was accepted")
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mounts.CheckInit(root, "/fifo"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a fifo: got %v", err)
	}
}

func TestCheckInitAcceptsThisMachinesShell(t *testing.T) {
	if err := errors.Join(mounts.CheckInit("/", "/bin/sh"), mounts.ReadInitAhead("/", "/bin/sh")); err != nil {
		t.Error(err)
	}
}

func FuzzInterpreterOf(f *testing.F) {
	f.Add([]byte(elf("/lib/ld.so")))
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, program []byte) {
		if name, err := mounts.InterpreterOf(bytes.NewReader(program)); len(name) > 4096 || err != nil && name != "" {
			t.Errorf("got %d bytes, %v", len(name), err)
		}
	})
}

func TestMakePoint(t *testing.T) {
	source, root, outside := t.TempDir(), t.TempDir(), t.TempDir()
	fillFolder(t, source, map[string]string{"etc/hosts": "x"})
	fillFolder(t, root, map[string]string{"var/run@": outside})

	name := filepath.Join(source, "etc")
	if err := mounts.MakePoint(root, name); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(root, name)); err != nil || !info.IsDir() {
		t.Errorf("a folder's mount point: %v, %v", info, err)
	}
	if err := mounts.MakePoint(root, name); err != nil {
		t.Errorf("a mount point that is there: %v", err)
	}
	name = filepath.Join(source, "etc/hosts")
	if err := mounts.MakePoint(root, name); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(root, name)); err != nil || !info.Mode().IsRegular() {
		t.Errorf("a file's mount point: %v, %v", info, err)
	}
}

func TestMakePointDoesNotFollowALinkOutOfTheNewRoot(t *testing.T) {
	dir := t.TempDir()
	old, root, outside := filepath.Join(dir, "old"), filepath.Join(dir, "new"), filepath.Join(dir, "outside")
	fillFolder(t, dir, map[string]string{"old/sub/": "", "outside/": ""})
	fillFolder(t, root, map[string]string{strings.TrimPrefix(old, "/") + "@": outside})
	if err := mounts.MakePoint(root, filepath.Join(old, "sub")); err == nil {
		t.Error("it was made")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside there is now %v (%v)", entries, err)
	}
}

func TestEmptyFolderDeletesEverythingInIt(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	fillFolder(t, outside, map[string]string{"precious": "x"})
	fillFolder(t, dir, map[string]string{"init": elf(""), "etc/keys/a.pub": "x", "etc/keys/b.pub": "y", "proc/": "", "link@": outside, "deep/deeper/deepest/": ""})
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := mounts.EmptyFolder(int(folder.Fd())); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("there is still %v (%v)", entries, err)
	}
	if _, err := os.Stat(filepath.Join(outside, "precious")); err != nil {
		t.Error("it followed a link")
	}
}

func TestEmptyOldRootRefusesHere(t *testing.T) {
	dir := t.TempDir()
	fillFolder(t, dir, map[string]string{"precious": "x"})
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := mounts.EmptyOldRoot(folder); err == nil {
		t.Error("it did it")
	}
	if _, err := os.Stat(filepath.Join(dir, "precious")); err != nil {
		t.Error(err)
	}
}
