package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// options are of a small initramfs with one of everything.
func options(t *testing.T) InitramfsOptions {
	t.Helper()
	dir := t.TempDir()
	init := filepath.Join(dir, "built-init")
	write(t, init, "the init")
	commands := filepath.Join(dir, "commands.cpio")
	var b bytes.Buffer
	if err := writeRecords(t.Context(), &b, []cpio.Record{
		cpio.Directory("bbin", 0o755),
		cpio.StaticFile("bbin/bb", "busybox", 0o755),
		cpio.Symlink("bbin/ls", "bb"),
	}); err != nil {
		t.Fatal(err)
	}
	write(t, commands, b.String())
	return InitramfsOptions{
		Init:      init,
		PublicKey: []byte("first key\n"),
		Keys:      map[string][]byte{"two.pub": []byte("second key\n"), "one.pub": []byte("first key\n")},
		Modules: fstest.MapFS{
			"lib/modules/6.1/modules.dep":    {Data: []byte("kernel/loop.ko:\n")},
			"lib/modules/6.1/kernel/loop.ko": {Data: []byte("ELF")},
		},
		Commands: commands,
		Out:      filepath.Join(dir, "initramfs"),
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpacked(t *testing.T, name string) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(read(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const wantInitramfs = `-rwxr-xr-x init 8
drwxr-xr-x bin 0
drwxr-xr-x dev 0
drwxr-xr-x etc 0
drwxr-xr-x etc/psyopsOS 0
drwxr-xr-x etc/psyopsOS/keys 0
drwxr-xr-x lib 0
drwxr-xr-x media 0
drwxr-xr-x mnt 0
drwxr-xr-x newroot 0
drwxr-xr-x proc 0
drwxr-xr-x run 0
drwxr-xr-x sys 0
dtrwxrwxrwx tmp 0
Dcrw------- dev/console 0 5:1
Dcrw-rw-rw- dev/null 0 1:3
Lrwxrwxrwx bin/blkid 7
Lrwxrwxrwx bin/neuralupgrade 7
-rw-r--r-- etc/psyopsOS/minisign.pubkey 10
-rw-r--r-- etc/psyopsOS/keys/one.pub 10
-rw-r--r-- etc/psyopsOS/keys/two.pub 11
drwxr-xr-x lib/modules 0
drwxr-xr-x lib/modules/6.1 0
drwxr-xr-x lib/modules/6.1/kernel 0
-rw-r--r-- lib/modules/6.1/kernel/loop.ko 3
-rw-r--r-- lib/modules/6.1/modules.dep 16
drwxr-xr-x bbin 0
-rwxr-xr-x bbin/bb 7
Lrwxrwxrwx bbin/ls 2
`

func TestInitramfsHoldsInitKeysModulesAndCommands(t *testing.T) {
	o := options(t)
	if err := Initramfs(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(unpacked(t, o.Out))))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, r := range records {
		fmt.Fprintf(&got, "%v %s %d", cpio.LSInfoFromRecord(r).Mode, r.Name, r.FileSize)
		if r.Rmajor != 0 {
			fmt.Fprintf(&got, " %d:%d", r.Rmajor, r.Rminor)
		}
		got.WriteString("\n")
		if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s: time %d, owner %d:%d, want all zero", r.Name, r.MTime, r.UID, r.GID)
		}
	}
	if got.String() != wantInitramfs {
		t.Errorf("members: got\n%s\nwant\n%s", got.String(), wantInitramfs)
	}
}

func TestCpioReadsTheInitramfs(t *testing.T) {
	o := options(t)
	if err := Initramfs(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "cpio", "--list", "--quiet")
	cmd.Stdin = bytes.NewReader(unpacked(t, o.Out))
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cpio: %v\n%s", err, got)
	}
	var want strings.Builder
	for line := range strings.Lines(wantInitramfs) {
		fmt.Fprintln(&want, strings.Fields(line)[1])
	}
	if string(got) != want.String() {
		t.Errorf("cpio lists\n%s\nwant\n%s", got, want.String())
	}
}

func TestSameInputGivesTheSameInitramfs(t *testing.T) {
	o := options(t)
	if err := Initramfs(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	first := read(t, o.Out)
	if err := Initramfs(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, read(t, o.Out)) {
		t.Error("two runs gave different bytes")
	}
}

// The kernel's decoder gives up on a window of more than 128 MiB and reads one
// frame an archive.
func TestKernelCanDecodeTheFrame(t *testing.T) {
	o := options(t)
	write(t, o.Init, strings.Repeat("0123456789abcde\n", 2<<20))
	if err := Initramfs(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var header zstd.Header
	if err := header.Decode(read(t, o.Out)); err != nil {
		t.Fatal(err)
	}
	if header.WindowSize == 0 || header.WindowSize > 16<<20 || header.Skippable || !header.HasCheckSum {
		t.Errorf("frame header: got %+v, want a checksummed frame with a window of 16 MiB at most", header)
	}
}

func TestInitramfsIsWholeOrNotThere(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		change func(*InitramfsOptions)
		want   string
	}{
		{"no key", t.Context(), func(o *InitramfsOptions) { o.Keys, o.PublicKey = nil, nil }, "no public key"},
		{"no init", t.Context(), func(o *InitramfsOptions) { o.Init += ".missing" }, "no such file"},
		{"no commands", t.Context(), func(o *InitramfsOptions) { o.Commands += ".missing" }, "no such file"},
		{"commands are no archive", t.Context(), func(o *InitramfsOptions) { o.Commands = o.Init }, "built-init"},
		{"interrupted", ended, func(*InitramfsOptions) {}, "context canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t)
			tt.change(&o)
			err := Initramfs(tt.ctx, o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: got %v, want one with %q", err, tt.want)
			}
			left, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Out), "*initramfs*"))
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
