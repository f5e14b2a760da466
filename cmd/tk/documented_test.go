package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the table of settings into docs/build.md")

const buildPage = "../../docs/build.md"

func TestEverySettingIsDocumented(t *testing.T) {
	const head, foot = "| setting | flag | environment | meaning |\n|---|---|---|---|\n", "\n## Stages"
	text, err := os.ReadFile(buildPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), head)
	old, after, ok2 := strings.Cut(rest, foot)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of settings", buildPage)
	}
	var b strings.Builder
	for _, s := range settingsTable(func(string) string { return "" }) {
		name := "`" + s.Key + "`"
		if words := strings.Join(s.Default, ","); words != "" {
			name += " = " + words
		}
		flag, env := "", strings.Join(s.Env, ", ")
		if s.Flag != "" {
			flag = "`--" + s.Flag + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, flag, env, strings.NewReplacer("`", "", "|", `\|`).Replace(s.Meaning))
	}
	if old == b.String() {
		return
	}
	if !*update {
		t.Errorf("the table of settings in %s is not that of settingsTable: go test ./cmd/tk -run Documented -update", buildPage)
		return
	}
	if err := os.WriteFile(buildPage, []byte(before+head+b.String()+foot+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The pages' console blocks are typed, each page's in a home of its own and each
// block in a folder of its own, and what stands below a command must be in what
// it prints; … stands for anything. Those of docs/publish.md are typed in
// qemu-tests.
func TestTranscriptsOfThePagesAreTrue(t *testing.T) {
	dir := t.TempDir()
	for _, page := range []string{buildPage, "../../docs/nodes.md", "../../docs/deploy.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var script strings.Builder
		script.WriteString("env HOME=$WORK/home\n")
		blocks := regexp.MustCompile("(?s)\n```console\n(.*?)\n```\n").FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no console block", page)
		}
		for _, block := range blocks {
			script.WriteString("cd $WORK\n")
			scriptOf(&script, block[1])
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md") + ".txtar"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script.String()+"-- home/x --\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{Dir: dir})
}

// scriptOf turns a console block into a test script.
func scriptOf(b *strings.Builder, block string) {
	var commands []string
	outputs := map[int][]string{}
	for line := range strings.SplitSeq(block, "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, command)
		} else if n := len(commands) - 1; n >= 0 && line != "…" {
			outputs[n] = append(outputs[n], line)
		}
	}
	for i, command := range commands {
		stream := "stdout"
		if len(outputs[i]) > 0 && strings.Contains(outputs[i][len(outputs[i])-1], "hint: ") {
			b.WriteString("! ")
			stream = "stderr"
		}
		if word, _, _ := strings.Cut(command, " "); word != "tk" && word != "cd" {
			b.WriteString("exec ")
		}
		b.WriteString(command + "\n")
		for _, line := range outputs[i] {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
			fmt.Fprintf(b, "%s '(?m)^%s$'\n", stream, strings.ReplaceAll(pattern, "'", "''"))
		}
	}
}
