package image

import (
	"bytes"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"psyopsOS/image/tree"
)

// listSquashfs has unsquashfs tell what is in a squashfs: mode, owner, path,
// and the target of a link or the numbers of a device.
func listSquashfs(t *testing.T, name string) []string {
	t.Helper()
	cmd := exec.Command("unsquashfs", "-UTC", "-llnumeric", name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "squashfs-root") })
		if i < 0 {
			continue
		}
		entry := append([]string{words[0], words[1], "/" + strings.TrimPrefix(strings.TrimPrefix(words[i], "squashfs-root"), "/")}, words[i+1:]...)
		if words[0][0] == 'c' || words[0][0] == 'b' {
			entry = append(entry, words[2]+words[3])
		}
		list = append(list, strings.Join(entry, " "))
	}
	return list
}

// tiny is a userland with what is hard to keep: owners, setuid, devices.
func tiny(t *testing.T) SquashfsOptions {
	t.Helper()
	x, over := tree.New(), tree.New()
	for name, n := range map[string]*tree.Node{
		"bin/su":               tree.File(fs.ModeSetuid|0o755, []byte("su")),
		"bin/sh":               tree.Symlink("/bin/busybox"),
		"dev/console":          tree.CharDevice(0o600, 5, 1),
		"home/user":            tree.Dir(0o750).With(0o750, 1000, 100),
		"home/user/mail":       tree.File(0o640, []byte("mail")).With(0o640, 1000, 8),
		"etc/motd":             tree.File(0o644, []byte("userland")),
		"lib/firmware/old.bin": tree.File(0o644, nil),
		"boot/vmlinuz":         tree.File(0o644, nil),
		"lib/modules/5.10/x":   tree.File(0o644, nil),
	} {
		if err := x.Add(name, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := over.AddFile("etc/motd", 0o644, "overlay"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "neuralupgrade"), "program")
	return SquashfsOptions{Userland: x, Overlays: []*tree.Tree{over}, IsoJSON: []byte("{}\n"), PublicKey: []byte("key"),
		Keys: map[string][]byte{"a.pub": []byte("key")}, Upgrade: filepath.Join(dir, "neuralupgrade"),
		Time: time.Unix(1700000000, 0), Out: filepath.Join(dir, "squashfs")}
}

func TestTheSquashfsKeepsOwnersModesAndDevices(t *testing.T) {
	o := tiny(t)
	if err := Squashfs(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	list := listSquashfs(t, o.Out)
	for _, want := range []string{
		"drwxr-xr-x 0/0 /",
		"-rwsr-xr-x 0/0 /bin/su",
		"lrwxrwxrwx 0/0 /bin/sh -> /bin/busybox",
		"crw------- 0/0 /dev/console 5,1",
		"drwxr-x--- 1000/100 /home/user",
		"-rw-r----- 1000/8 /home/user/mail",
		"drwxrwxrwt 0/0 /tmp",
		"drwxr-xr-x 0/0 /run",
		"drwx------ 0/0 /mnt/psyops-secret",
		"drwxr-xr-x 0/0 /mnt/psyops-secret/mount",
		"drwxr-xr-x 0/0 /mnt/psyopsOS/a",
		"drwxr-xr-x 0/0 /media/root-ro",
		"drwxr-xr-x 0/0 /.modloop",
		"-rw-r--r-- 0/0 /etc/psyopsOS/iso.json",
		"-rw-r--r-- 0/0 /etc/psyopsOS/minisign.pubkey",
		"-rw-r--r-- 0/0 /etc/psyopsOS/keys/a.pub",
		"-rwxr-xr-x 0/0 /usr/sbin/neuralupgrade",
	} {
		if !slices.Contains(list, want) {
			t.Errorf("%q is not in it", want)
		}
	}
	for _, gone := range []string{"/lib/firmware", "/lib/modules", "/boot"} {
		if slices.ContainsFunc(list, func(line string) bool { return strings.Contains(line, " "+gone) }) {
			t.Errorf("%s is in it", gone)
		}
	}
	if t.Failed() {
		t.Log("\n" + strings.Join(list, "\n"))
	}
	motd, err := exec.Command("unsquashfs", "-cat", o.Out, "etc/motd").Output()
	if err != nil || string(motd) != "overlay" {
		t.Errorf("etc/motd is %q, %v: the overlay does not win", motd, err)
	}
}

func TestWhereUsrIsMergedFirmwareAndModulesAreFoundBehindTheLink(t *testing.T) {
	o := tiny(t)
	o.Userland = tree.New()
	for name, n := range map[string]*tree.Node{"lib": tree.Symlink("usr/lib"), "usr/lib/firmware/x": tree.File(0o644, nil), "usr/lib/libc.so": tree.File(0o755, nil)} {
		if err := o.Userland.Add(name, n); err != nil {
			t.Fatal(err)
		}
	}
	x, err := o.tree()
	if err != nil || x.Has("usr/lib/firmware") || !x.Has("usr/lib/libc.so") {
		t.Errorf("%v: firmware %v, libc %v", err, x.Has("usr/lib/firmware"), x.Has("usr/lib/libc.so"))
	}
}

func TestTheSquashfsIsTheSameWhoeverMakesIt(t *testing.T) {
	sum := func() [32]byte {
		o := tiny(t)
		if err := Squashfs(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(read(t, o.Out))
	}
	first := sum()
	t.Setenv("TZ", "Pacific/Chatham")
	t.Setenv("SOURCE_DATE_EPOCH", "12345")
	t.Chdir(t.TempDir())
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	if sum() != first {
		t.Error("it differs in another time zone, folder and umask")
	}
}

func TestOddNamesAndAllKindsOfNodes(t *testing.T) {
	x := tree.New()
	x.SetRoot(0o700, 5, 6)
	file := tree.File(0o600, []byte("shared"))
	for name, n := range map[string]*tree.Node{
		`odd/a b`: file, `odd/q"u\o`: file, "odd/empty": tree.File(0o644, nil), "odd/li nk": tree.Symlink("x  y"), "odd/été": tree.File(0o644, nil),
		"dev/sda": tree.BlockDevice(0o660, 8, 1), "run/pipe": {Mode: fs.ModeNamedPipe | 0o640},
	} {
		if err := x.Add(name, n); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "squashfs")
	if err := writeSquashfs(t.Context(), x, time.Unix(0, 0), Compression{}, out); err != nil {
		t.Fatal(err)
	}
	list := listSquashfs(t, out)
	for _, want := range []string{"drwx------ 5/6 /", "-rw------- 0/0 /odd/a b", `-rw------- 0/0 /odd/q"u\o`, "-rw-r--r-- 0/0 /odd/empty",
		"lrwxrwxrwx 0/0 /odd/li nk -> x y", "-rw-r--r-- 0/0 /odd/été", "brw-rw---- 0/0 /dev/sda 8,1", "prw-r----- 0/0 /run/pipe"} {
		if !slices.Contains(list, want) {
			t.Errorf("%q is not in it:\n%s", want, strings.Join(list, "\n"))
		}
	}
	dir := filepath.Join(t.TempDir(), "root")
	if said, err := exec.Command("unsquashfs", "-quiet", "-no-progress", "-excludes", "-dest", dir, out, "dev").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if content := read(t, filepath.Join(dir, `odd/q"u\o`)); string(content) != "shared" {
		t.Errorf("the second name of the file holds %q", content)
	}
	one, err1 := os.Stat(filepath.Join(dir, "odd/a b"))
	two, err2 := os.Stat(filepath.Join(dir, `odd/q"u\o`))
	if err1 != nil || err2 != nil || !os.SameFile(one, two) {
		t.Errorf("the hard link became a copy: %v, %v", err1, err2)
	}
}

func TestWhatASquashfsCannotBeGivenIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, path string
		node       *tree.Node
		want       string
	}{
		{"a line's end in a name", "a\nb", tree.Dir(0o755), "line's end"},
		{"a line's end in a link", "l", tree.Symlink("a\nb"), "l: a squashfs cannot"},
		{"a socket", "s", &tree.Node{Mode: fs.ModeSocket}, "s: a squashfs cannot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tree.New()
			if err := x.Add(c.path, c.node); err != nil {
				t.Fatal(err)
			}
			if err := writePseudo(io.Discard, x); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestAFailingMksquashfsIsTold(t *testing.T) {
	for _, c := range []struct {
		name, script, want string
	}{
		{"it says why", "echo no space left >&2; exit 1", "no space left"},
		{"it is not there", "", "mksquashfs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tiny(t)
			bin := t.TempDir()
			if c.script != "" {
				write(t, filepath.Join(bin, "mksquashfs"), "#!/bin/sh\n"+c.script+"\n")
				if err := os.Chmod(filepath.Join(bin, "mksquashfs"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(t, o.Out, "the old one")
			t.Setenv("PATH", bin)
			if err := Squashfs(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one with %q", err, c.want)
			}
			if !bytes.Equal(read(t, o.Out), []byte("the old one")) {
				t.Error("the old file is gone")
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Out), ".squashfs*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// Alpine's own fstab names other disks, and init adds ours only where there is
// none.
func TestTheVolumesAreInTheFstabThatTheUserlandBrings(t *testing.T) {
	const lines = "LABEL=PSYOPSOSEFI /mnt/psyopsOS/efisys vfat ro,noauto 0 0\n" +
		"LABEL=psyops-secret /mnt/psyops-secret/mount ext4 ro,noauto 0 0\n" +
		"LABEL=psyopsOS-A /mnt/psyopsOS/a ext4 ro,noauto 0 0\n"
	const b = "LABEL=psyopsOS-B /mnt/psyopsOS/b ext4 ro,noauto 0 0\n"
	for name, c := range map[string]struct{ brings, want string }{
		"none":       {"", lines + b},
		"Alpine's":   {"/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n", "/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n" + lines + b},
		"cut short":  {"# mine", "# mine\n" + lines + b},
		"of a site":  {"LABEL=b /mnt/psyopsOS/b ext4 rw 0 0\n", "LABEL=b /mnt/psyopsOS/b ext4 rw 0 0\n" + lines},
		"in comment": {"#x /mnt/psyopsOS/b\n", "#x /mnt/psyopsOS/b\n" + lines + b},
	} {
		t.Run(name, func(t *testing.T) {
			o := tiny(t)
			if c.brings != "" {
				if err := o.Userland.AddFile("etc/fstab", 0o644, c.brings); err != nil {
					t.Fatal(err)
				}
			}
			made, err := o.tree()
			if err != nil {
				t.Fatal(err)
			}
			n, _ := made.Get("etc/fstab")
			if got, err := n.Content(); err != nil || string(got) != c.want || !made.Has("psyopsos-data") {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
