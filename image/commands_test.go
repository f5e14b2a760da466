package image

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// promised are the commands of which the documents speak.
const promised = "cat chmod cp dd df dmesg du ed find grep head hexdump insmod ip kill ln losetup ls lsmod " +
	"mkdir modprobe more mount mv ping poweroff ps reboot rm rmmod sh shasum sync tail umount wc"

func TestCommandsAreOneProgramWithALinkForEach(t *testing.T) {
	dir := t.TempDir()
	var built [2][]byte
	for i, name := range []string{"a", "b"} {
		file := filepath.Join(dir, name)
		if err := UrootCommands(t.Context(), "..", file); err != nil {
			t.Fatal(err)
		}
		built[i] = read(t, file)
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Error("two runs gave different bytes")
	}
	records, err := readArchive(built[0])
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, r := range records {
		if r.Mode&cpio.S_IFMT == cpio.S_IFLNK && path.Dir(r.Name) == "bbin" {
			links = append(links, path.Base(r.Name))
		}
	}
	for name := range strings.FieldsSeq(promised) {
		if !slices.Contains(links, name) {
			t.Errorf("no command %s; there are %v", name, links)
		}
	}
	unpack(t, dir, records)
	runsOnATerminal(t, filepath.Join(dir, "bbin"))
}

func unpack(t *testing.T, dir string, records []cpio.Record) {
	t.Helper()
	for _, r := range records {
		if path.Dir(r.Name) != "bbin" && r.Name != "bbin" {
			continue
		}
		if err := cpio.CreateFileInRoot(r, dir, false); err != nil {
			t.Fatal(err)
		}
	}
}

// runsOnATerminal tries what a person at a serial line does.
func runsOnATerminal(t *testing.T, bin string) {
	tests := []struct {
		name string
		typ  []string // each is typed when the one before has been answered
		want string
	}{
		{"a command is found and run", []string{"echo o''ne | wc -w\n"}, "1"},
		{"a typing error does not end the shell", []string{"echo (\n", "echo still he''re\n"}, "still here"},
		{"an unknown command does not end the shell", []string{"nosuch\n", "echo still he''re $?\n"}, "still here 127"},
		{"Ctrl-C ends the program and not the shell", []string{"sleep 600\n", "\x03", "echo still he''re $?\n"}, "still here 130"},
		{"Ctrl-C ends a loop", []string{"while true; do sleep 1; done\n", "\x03", "echo still he''re\n"}, "still here"},
		{"Ctrl-C at the prompt does nothing", []string{"\x03", "\x03", "echo still he''re\n"}, "still here"},
		{"Ctrl-C forgets a half statement", []string{"if true\n", "\x03", "echo still he''re\n"}, "still here"},
		{"help lists the programs", []string{"help\n"}, "dmesg"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "sh"))
			cmd.Env = []string{"PATH=" + bin, "PS1=the prompt> ", "HOME=/"}
			p := startOnPty(t, cmd)
			p.expect("the prompt> ")
			for _, keys := range tt.typ {
				p.send(keys)
				time.Sleep(300 * time.Millisecond) // a program may show nothing
			}
			p.expect(tt.want)
			p.expect("the prompt> ")
			p.send("exit\n")
			if err := cmd.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
		})
	}
	t.Run("a shell at which nobody types leaves", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "sh"))
		cmd.Env = []string{"PATH=" + bin, "TMOUT=1"}
		p := startOnPty(t, cmd)
		p.expect("nobody types: leaving")
		if err := cmd.Wait(); err != nil {
			t.Errorf("exit: %v", err)
		}
	})
}

// The module's own tests are not among those of `go test ./...` here.
func TestOurOwnCommandsPassTheirTests(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "./...")
	cmd.Dir = filepath.Join("..", CommandsDir)
	cmd.Env = append(os.Environ(), goEnvironment()...)
	if output, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(output, []byte("ok")) {
		t.Errorf("go test: %v\n%s", err, output)
	}
}

func TestCommandsOfAModuleWithoutToolsAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, CommandsDir), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, CommandsDir, "go.mod"), "module example\n\ngo 1.26.0\n")
	out := filepath.Join(dir, "out")
	err := UrootCommands(t.Context(), dir, out)
	if err == nil || !strings.Contains(err.Error(), "has no tool lines") {
		t.Errorf("error: got %v, want one about tool lines", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an archive was written")
	}
}
