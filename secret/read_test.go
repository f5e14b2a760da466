package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"psyopsOS/layout"
	"psyopsOS/step"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

func TestNodename(t *testing.T) {
	for _, c := range []struct{ name, text, want, warns string }{
		{"one line", "camp7\n", "camp7", ""},
		{"no line end", "camp7", "camp7", ""},
		{"blanks and CR", " \tcamp7 \r\nmore\n", "camp7", ""},
		{"all that may be", "Camp-7_b.example\n", "Camp-7_b.example", ""},
		{"empty", "", layout.Unconfigured, ""},
		{"an empty first line", "\ncamp7\n", layout.Unconfigured, ""},
		{"a blank inside", "camp 7\n", layout.Unconfigured, "its character 5 is not one of"},
		{"a command", "$(reboot)\n", layout.Unconfigured, "its character 1"},
		{"a quote", "a';reboot;'\n", layout.Unconfigured, "its character 2"},
		{"an umlaut", "lückenlos\n", layout.Unconfigured, "its character 2"},
		{"a zero byte", "a\x00b", layout.Unconfigured, "its character 2"},
		{"a path", "../etc", layout.Unconfigured, "its character 3"},
		{"a folder above", "..", layout.Unconfigured, "nothing but dots"},
		{"an option", "-rf", layout.Unconfigured, "begins with -"},
		{"64 characters", strings.Repeat("a", 64), strings.Repeat("a", 64), ""},
		{"65 characters", strings.Repeat("a", 65), layout.Unconfigured, "65 characters"},
		{"a huge file", strings.Repeat("a\n", 4000), layout.Unconfigured, "more than 4.0 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node, warnings := Read(fstest.MapFS{NodenameFile: file(c.text)})
			if node.Name != c.want {
				t.Errorf("got %q, want %q", node.Name, c.want)
			}
			checkWarning(t, warnings, c.warns)
		})
	}
}

func checkWarning(t *testing.T, warnings []error, want string) {
	t.Helper()
	switch {
	case want == "" && len(warnings) > 0:
		t.Errorf("got warnings %v, want none", warnings)
	case want != "" && (len(warnings) != 1 || !strings.Contains(warnings[0].Error(), want) || step.HintOf(warnings[0]) == ""):
		t.Errorf("got warnings %v, want one with %q and a hint", warnings, want)
	}
}

func TestAnEmptyVolumeMakesAnUnconfiguredNode(t *testing.T) {
	node, warnings := Read(fstest.MapFS{})
	if node.Name != layout.Unconfigured || node.Toor || len(node.Files) > 0 || len(warnings) > 0 {
		t.Errorf("got %+v, %v", node, warnings)
	}
	if got := node.Missing(); !reflect.DeepEqual(got, Known()) {
		t.Errorf("missing %v, want all", got)
	}
}

func TestEveryFileIsToleratedByItself(t *testing.T) {
	whole := fstest.MapFS{}
	for _, name := range Known() {
		whole[name] = file("x-" + name)
	}
	for _, name := range Known() {
		broken := failing{whole, name}
		node, warnings := Read(broken)
		if got := node.Missing(); !reflect.DeepEqual(got, []string{name}) {
			t.Errorf("%s cannot be read: missing %v", name, got)
		}
		if len(warnings) != 1 || !errors.Is(warnings[0], errSector) || !strings.Contains(warnings[0].Error(), name) {
			t.Errorf("%s cannot be read: got %v", name, warnings)
		}
	}
}

var errSector = errors.New("input/output error")

// failing cannot open one of its files.
type failing struct {
	fstest.MapFS
	name string
}

func (f failing) Open(name string) (fs.File, error) {
	if name == f.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errSector}
	}
	return f.MapFS.Open(name)
}

func (f failing) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == f.name {
		return nil, errSector
	}
	return f.MapFS.ReadDir(name)
}

func TestAFolderThatCannotBeListedIsTold(t *testing.T) {
	node, warnings := Read(failing{fstest.MapFS{NodenameFile: file("camp7")}, "."})
	if node.Name != "camp7" || len(warnings) != 1 || !errors.Is(warnings[0], errSector) {
		t.Errorf("got %v, %v", node, warnings)
	}
}

func TestLinesOfAnotherSystemAreTakenOver(t *testing.T) {
	node, warnings := Read(fstest.MapFS{NodenameFile: file("camp7\r\n"), Mactab: file("psy0 1:2:3:4:5:6\r\n"), "own.txt": file("a\r\n")})
	if got := node.Text(Mactab); node.Name != "camp7" || got != "psy0 1:2:3:4:5:6\n" || node.Text("own.txt") != "a\r\n" {
		t.Errorf("got %q and mactab %q", node.Name, got)
	}
	checkWarning(t, warnings, "mactab end with CR LF")
}

func TestToor(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{toorKey + "=yes\n", true},
		{"# tests\r\n " + toorKey + "=yes\r\n", true},
		{toorKey + "=no\n", false},
		{toorKey + "=YES", false},
		{toorKey + "='yes'", false},
		{toorKey + "=yes # really", false},
		{toorKey + "=yes\n" + toorKey + "=\n", false},
		{"X" + toorKey + "=yes", false},
		{"#" + toorKey + "=yes", false},
		{"", false},
	} {
		node, warnings := Read(fstest.MapFS{TestingEnv: file(c.text)})
		warned := strings.Contains(fmt.Sprint(warnings), "adds the user toor")
		if node.Toor != c.want || warned != c.want {
			t.Errorf("%q: got %t with %v, want %t", c.text, node.Toor, warnings, c.want)
		}
	}
}

func TestOnlyRegularFilesWithinTheLimitsAreRead(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for path, text := range map[string]string{outside: "secret of another", filepath.Join(dir, "own/wifi.conf"): "psk",
		filepath.Join(dir, "lost+found/x"): "junk", filepath.Join(dir, "big"): strings.Repeat("x", FileLimit+1)} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{AgeKey, "link"} {
		if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	node, warnings := Read(os.DirFS(dir))
	if len(node.Files) != 1 || node.Text("own/wifi.conf") != "psk" || !node.Files["own/wifi.conf"].Executable {
		t.Errorf("got %+v", node.Files)
	}
	if len(warnings) != 3 {
		t.Errorf("got %v, want warnings of the two links and the big file", warnings)
	}
}

func TestAVolumeFullOfFilesIsReadUpToTheLimits(t *testing.T) {
	many := fstest.MapFS{NodenameFile: file("camp7")}
	for i := range 2000 {
		many[filepath.Join("d", strings.Repeat("x", i/100+1), string(rune('a'+i%26)), strings.Repeat("y", i%100+1))] = file("1")
	}
	node, warnings := Read(many)
	if len(node.Files) > entriesLimit || node.Name != "camp7" {
		t.Errorf("read %d files, name %s", len(node.Files), node.Name)
	}
	checkWarning(t, warnings, "more than 1000 files")

	big := fstest.MapFS{MinisignPubkey: file("key")}
	for i := range 20 {
		big[string(rune('a'+i))] = file(strings.Repeat("x", FileLimit))
	}
	node, warnings = Read(big)
	total := 0
	for _, e := range node.Files {
		total += len(e.Data.Reveal())
	}
	if total > TotalLimit || node.Text(MinisignPubkey) != "key" || len(warnings) != 5 {
		t.Errorf("read %d bytes with %d warnings", total, len(warnings))
	}
}

// envLine is what a shell takes as it stands.
var envLine = regexp.MustCompile(`^PSYOPSOS_[A-Z0-9_]+=[A-Za-z0-9._/-]+$`)

func checkEnv(t *testing.T, env []byte) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(env), "\n"), "\n")
	if len(lines) != 8 {
		t.Errorf("got %d lines, want 8: %q", len(lines), env)
	}
	for _, line := range lines {
		if !envLine.MatchString(line) {
			t.Errorf("a shell does not take %q as it stands", line)
		}
	}
}

func TestTheEnvFileIsWhatShellsExpect(t *testing.T) {
	const want = `PSYOPSOS_NODENAME=camp7
PSYOPSOS_AGEKEY=/mnt/psyops-secret/mount/age.key
PSYOPSOS_MINISIGN_PUB=/mnt/psyops-secret/mount/minisign.pubkey
PSYOPSOS_MACTAB=/mnt/psyops-secret/mount/mactab
PSYOPSOS_INTERFACES=/mnt/psyops-secret/mount/network.interfaces
PSYOPSOS_SSHD_ED25519_KEY=/mnt/psyops-secret/mount/ssh_host_ed25519_key
PSYOPSOS_PSYNET_HOST_CRT=/mnt/psyops-secret/mount/psynet.host.crt
PSYOPSOS_PSYNET_HOST_KEY=/mnt/psyops-secret/mount/psynet.host.key
`
	if got := string(Node{Name: "camp7"}.Env()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestARealShellSourcesTheEnvFileAndRunsNothing(t *testing.T) {
	for _, name := range []string{"camp7", "$(touch stolen)", "`touch stolen`", "a;touch stolen", "a\ntouch stolen", "'", `"`, "a b", "-x"} {
		dir := t.TempDir()
		node, _ := Read(fstest.MapFS{NodenameFile: file(name)})
		for _, n := range []Node{node, {Name: name}} {
			if err := os.WriteFile(filepath.Join(dir, "env"), n.Env(), 0o644); err != nil {
				t.Fatal(err)
			}
			shell := exec.Command("sh", "-euc", `. ./env; printf %s "$PSYOPSOS_NODENAME"`)
			shell.Dir = dir
			out, err := shell.CombinedOutput()
			want := n.safeName()
			if err != nil || string(out) != want {
				t.Errorf("nodename %q: the shell says %q, %v; want %q", name, out, err, want)
			}
			if _, err := os.Stat(filepath.Join(dir, "stolen")); err == nil {
				t.Errorf("nodename %q ran a command", name)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("camp7\r\n"), []byte(toorKey+"=yes"), []byte("key"))
	f.Add([]byte("$(x)"), []byte(""), []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"))
	if key, err := os.ReadFile("testdata/ed25519"); err == nil {
		f.Add([]byte("a"), []byte(""), key)
	}
	f.Fuzz(func(t *testing.T, nodename, testing, key []byte) {
		node, _ := Read(fstest.MapFS{NodenameFile: {Data: nodename}, TestingEnv: {Data: testing}, SSHHostKey: {Data: key}})
		checkEnv(t, node.Env())
		checkEnv(t, Node{Name: string(nodename)}.Env())
		files, _ := node.Install()
		for _, file := range files {
			if !fs.ValidPath(strings.TrimPrefix(file.Path, "/")) {
				t.Errorf("%q is not a path below a root", file.Path)
			}
		}
	})
}
