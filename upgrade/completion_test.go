package upgrade

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// completes asks bash itself.
func completes(t *testing.T, script, line string) []string {
	t.Helper()
	words := strings.Split(line, " ")
	ask := script + "\nCOMP_WORDS=(" + strings.Join(words[:len(words)-1], " ") + " \"" + words[len(words)-1] + "\")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_neuralupgrade\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
	out, err := exec.Command("bash", "-c", ask).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

func TestBashCompletesCommandsTargetsAndFlags(t *testing.T) {
	w := newWorld(t)
	script, _ := w.must(0, "completion", "bash")
	for line, want := range map[string]string{
		"neuralupgrade app":                     "apply",
		"neuralupgrade apply non":               "nonbooted",
		"neuralupgrade apply nonbooted --os-v":  "--os-version",
		"neuralupgrade --json set-default psyo": "psyopsOS-A psyopsOS-B",
		"neuralupgrade commit --os":             "",
		"neuralupgrade show --a-mo":             "--a-mock --a-mountpoint",
	} {
		if got := strings.Join(completes(t, script, line), " "); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	zsh, _ := w.must(0, "completion", "zsh")
	has(t, zsh, "#compdef neuralupgrade\n", script)
	fish, _ := w.must(0, "completion", "fish")
	has(t, fish, "complete -c neuralupgrade -n __fish_use_subcommand -f -a apply ", "-n '__fish_seen_subcommand_from apply' -l os-version -d 'the VERSION in the repository; default the newest'\n")
	w.must(2, "completion")
	w.must(2, "completion", "csh")
}

// Each shell itself reads what is made for it, and completes with it.
func TestZshAndFishTakeTheirCompletions(t *testing.T) {
	w := newWorld(t)
	script, _ := w.must(0, "completion", "zsh")
	name := filepath.Join(t.TempDir(), "_neuralupgrade")
	if err := os.WriteFile(name, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := "autoload -U +X compinit && compinit -u -D && source " + name + " && print -r -- $_comps[neuralupgrade]"
	out, err := exec.Command("zsh", "-f", "-c", ask).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "_bash_complete") {
		t.Errorf("zsh: %v, %q (Debian package zsh)", err, out)
	}
	script, _ = w.must(0, "completion", "fish")
	for line, want := range map[string]string{
		"neuralupgrade app":                    "apply",
		"neuralupgrade apply nonb":             "nonbooted",
		"neuralupgrade apply nonbooted --os-v": "--os-version",
		"neuralupgrade set-default psyopsOS-":  "psyopsOS-A psyopsOS-B",
	} {
		cmd := exec.Command("fish", "--no-config", "-c", script+"\ncomplete -C '"+line+"'")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		var got []string
		for line := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, word)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("fish, %s: got %q, %v, want %q (Debian package fish)\n%s", line, got, err, want, out)
		}
	}
}
