package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// world is what the transcripts of the manual take for granted.
const world = `keygen site
mkrelease repo 20261120-100000 site
mkdisk disk.img repo 20261120-100000 site
mkrelease repo 20261121-100000 site
`

// The blocks of docs/update.md that are marked as a console's are run, one
// after the other, and must come out as they stand there.
func TestTheTranscriptsOfTheManual(t *testing.T) {
	text, err := os.ReadFile("../docs/update.md")
	if err != nil {
		t.Fatal(err)
	}
	script, files, n := world, "", 0
	for _, block := range strings.Split(string(text), "```console\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
			command, said, _ := strings.Cut(part, "\n")
			status := "0"
			if before, rest, ok := strings.Cut(said, "[exit status "); ok {
				said, status = before, strings.TrimSuffix(strings.TrimSpace(rest), "]")
			}
			if said != "" && !strings.HasSuffix(said, "\n") {
				said += "\n"
			}
			n++
			script += fmt.Sprintf("says %s said%d %s\n", status, n, command)
			files += fmt.Sprintf("-- said%d --\n%s", n, said)
		}
	}
	if n < 4 {
		t.Fatalf("the manual has %d commands", n)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "update.txtar"), []byte(script+files), 0o644); err != nil {
		t.Fatal(err)
	}
	commands := scriptCommands()
	commands["says"] = func(ts *testscript.TestScript, _ bool, args []string) {
		statusCommand(ts, false, append([]string{args[0]}, args[2:]...))
		got := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		for line := range strings.Lines(got) {
			got = strings.Replace(got, line, strings.TrimRight(line, " \n")+"\n", 1)
		}
		if want := ts.ReadFile(args[1]); got != want {
			ts.Fatalf("it says\n%s\nand the manual has\n%s", got, want)
		}
	}
	testscript.Run(t, testscript.Params{Dir: dir, Cmds: commands})
}
