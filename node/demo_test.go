package node

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", e.Name(), info.Mode(), err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

func TestSSHReadsTheDemoNodesHostKeyAndASecondMakeChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	if err := Demo(dir, strings.NewReader(strings.Repeat("a", 32))); err != nil {
		t.Fatal(err)
	}
	first := read(t, dir)
	if first["nodename"] != "demo\n" || first["mactab"] != "psy0 mac=52:54:00:12:34:56\n" || !strings.Contains(first["network.interfaces"], "iface psy0 inet dhcp\n") {
		t.Errorf("got %q", first)
	}
	out, err := exec.Command("ssh-keygen", "-l", "-f", filepath.Join(dir, "ssh_host_ed25519_key")).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(" demo (ED25519)")) {
		t.Errorf("ssh-keygen: %v, %s", err, out)
	}
	if err := Demo(dir, strings.NewReader(strings.Repeat("b", 32))); err != nil {
		t.Fatal(err)
	}
	if second := read(t, dir); len(second) != 4 || second["ssh_host_ed25519_key"] != first["ssh_host_ed25519_key"] {
		t.Errorf("the second make gave %d files and another key", len(second))
	}
}

func TestDemoWithoutEnoughRandomBytesLeavesNoKey(t *testing.T) {
	dir := t.TempDir()
	if err := Demo(dir, strings.NewReader("short")); err == nil {
		t.Error("no error")
	}
	if _, ok := read(t, dir)["ssh_host_ed25519_key"]; ok {
		t.Error("a key is there")
	}
}
