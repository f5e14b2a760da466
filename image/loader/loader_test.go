package loader

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

func options() Options {
	return Options{Version: "20261121-101500", Time: time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC)}
}

func TestTheLoaderIsAnEFIProgramAndTheSameTwice(t *testing.T) {
	one, err := Build(t.Context(), options())
	if err != nil {
		t.Fatal(err)
	}
	two, err := Build(t.Context(), options())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Errorf("built twice: %d and %d bytes, not the same", len(one), len(two))
	}
	if !bytes.HasPrefix(one, []byte("MZ")) || len(one) < 500<<10 || len(one) > 2<<20 {
		t.Errorf("%d bytes beginning %q", len(one), one[:2])
	}
	other := options()
	other.Version = "20261121-101501"
	if three, err := Build(t.Context(), other); err != nil || bytes.Equal(one, three) {
		t.Errorf("another version is not another loader (%v)", err)
	}
}

func TestAVersionThatTheScriptWouldReadAsMoreIsRefused(t *testing.T) {
	for _, version := range []string{"", "1; reboot", "$x", "a b"} {
		o := options()
		o.Version = version
		if _, err := Build(t.Context(), o); err == nil {
			t.Errorf("%q: built", version)
		}
	}
}

func TestMissingPartsAreNamed(t *testing.T) {
	o := options()
	o.Modules = t.TempDir()
	if _, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.Modules) {
		t.Errorf("no modules: got %v", err)
	}
	o = options()
	o.Font = filepath.Join(t.TempDir(), "none")
	if _, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.Font) {
		t.Errorf("no font: got %v", err)
	}
}

func TestGRUBsOwnCheckerLikesTheScript(t *testing.T) {
	files, err := options().script()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.path, ".cfg") {
			continue
		}
		name := filepath.Join(t.TempDir(), filepath.Base(f.path))
		if err := os.WriteFile(name, f.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("grub-script-check", name).CombinedOutput(); err != nil && !strings.Contains(string(out), "no commands") {
			t.Errorf("%s: %v: %s(Debian package grub-common)", f.path, err, out)
		}
	}
}

// "search" found the sides of another disk.
func TestTheScriptNeverSearches(t *testing.T) {
	entries, err := scripts.ReadDir("script")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := scripts.ReadFile("script/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(text), "\n") {
			if code, _, _ := strings.Cut(line, "#"); strings.Contains(code, "search") {
				t.Errorf("%s:%d: %s", e.Name(), n+1, line)
			}
		}
	}
}

// GRUB breaks longer lines on an 80-column terminal, and whoever waits for a
// line on the serial port would not find it.
func TestWhatTheScriptSaysFitsInALine(t *testing.T) {
	entries, err := scripts.ReadDir("script")
	if err != nil {
		t.Fatal(err)
	}
	longest := strings.NewReplacer("$1", "A", "$2", "lastresort", "$good", "A", "$wait", "999", "$part", "hd10,gpt4", "$label", "psyops-secret",
		"$loader_version", "20261121-101500", "$loader_time", "2026-11-21 10:15:00 UTC")
	for _, e := range entries {
		text, err := scripts.ReadFile("script/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			_, said, ok := strings.Cut(line, "echo \"")
			if said, _, _ = strings.Cut(said, "\""); ok && len(longest.Replace(said)) > 79 {
				t.Errorf("%s: %d columns: %s", e.Name(), len(longest.Replace(said)), said)
			}
		}
	}
}

// Who starts a side without the script, with kexec, gives it the same words.
func TestKernelWordsAreTheScripts(t *testing.T) {
	text, err := os.ReadFile("script/start.cfg")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(text), `linux "($part)/kernel" `)
	line, _, ok2 := strings.Cut(line, ";")
	if !ok || !ok2 {
		t.Fatal("the script starts no kernel as it did")
	}
	want := strings.NewReplacer("$1", "B", "$2", "trial2", "$partuuid", "0123-45", "$loader_version", "20261121-101500",
		"$append", "quiet psyopsos.deadline=60").Replace(line)
	got := bootstate.KernelWords(bootstate.Boot{Side: layout.SideB, Why: bootstate.Trial(2)}, "0123-45", "20261121-101500", "quiet psyopsos.deadline=60")
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
