package upgrade

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheManualPageIsOneAndNamesEverything(t *testing.T) {
	w := newWorld(t)
	page, _ := w.must(0, "man")
	name := filepath.Join(t.TempDir(), "neuralupgrade.8")
	if err := os.WriteFile(name, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	// A page without a date is meant: builds are the same twice.
	out, err := exec.Command("mandoc", "-T", "lint", "-W", "warning", name).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "missing date") {
			t.Error(line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Errorf("mandoc: %v (Debian package mandoc)", err)
	}
	shown, err := exec.Command("mandoc", "-T", "ascii", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	var plain strings.Builder // without overstrikes
	for _, c := range string(shown) {
		if c == '\b' {
			text := plain.String()
			plain.Reset()
			plain.WriteString(text[:len(text)-1])
			continue
		}
		plain.WriteRune(c)
	}
	for _, cmd := range commands() {
		has(t, plain.String(), cmd.name)
		for _, f := range flagsOf(cmd) {
			has(t, plain.String(), "--"+f.Name)
		}
	}
}
