package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A package of PID 1 that the stage does not read would leave yesterday's
// program in today's image.
func TestTheInitStageReadsEveryPackageOfInit(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}} {{.EmbedFiles}}", "psyopsOS/init").Output()
	if err != nil {
		t.Fatal(err)
	}
	var seen int
	for line := range strings.Lines(string(out)) {
		path, embeds, _ := strings.Cut(strings.TrimSpace(line), " ")
		dir, ours := strings.CutPrefix(path, "psyopsOS/")
		if !ours {
			continue
		}
		seen++
		top, _, _ := strings.Cut(dir, "/")
		if !slices.Contains(initSources(), top) {
			t.Errorf("init imports %s: initSources has no %s", path, top)
		}
		if embeds != "[]" {
			t.Errorf("%s embeds %s: the stage reads Go files alone", path, embeds)
		}
	}
	if seen < len(initSources()) {
		t.Errorf("go list names %d packages of ours, initSources has %d", seen, len(initSources()))
	}
}
