package image

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"testing"
)

// module is a module in a new folder whose init tells its commit.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "init"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26.0\n")
	write(t, filepath.Join(dir, "init", "main.go"), "package main\n\nimport _ \"net\"\n\nvar commit = \"unknown\"\n\nfunc main() { println(commit) }\n")
	return dir
}

func TestInitIsStaticAndTheSameFromAnotherFolder(t *testing.T) {
	out := t.TempDir()
	var built [2][]byte
	for i, name := range []string{"a", "b"} {
		file := filepath.Join(out, name)
		if err := BuildInit(t.Context(), module(t), "commit-0123abcd", file); err != nil {
			t.Fatal(err)
		}
		built[i] = read(t, file)
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Error("two folders gave two programs")
	}
	if !bytes.Contains(built[0], []byte("commit-0123abcd")) {
		t.Error("the program does not know its commit")
	}
	if bytes.Contains(built[0], []byte(out)) {
		t.Errorf("the program holds the path %s of this machine", out)
	}
	program, err := elf.NewFile(bytes.NewReader(built[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %v: it is not static", p.Type)
		}
	}
}

func TestBuildTellsWhatTheCompilerSaid(t *testing.T) {
	dir := module(t)
	write(t, filepath.Join(dir, "init", "main.go"), "package main\n\nfunc main() { undefinedWord() }\n")
	err := BuildInit(t.Context(), dir, "x", filepath.Join(t.TempDir(), "init"))
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("undefined: undefinedWord")) {
		t.Errorf("error: got %v, want the compiler's words", err)
	}
}
