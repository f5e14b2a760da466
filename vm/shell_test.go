package vm

import (
	"os/exec"
	"strings"
	"testing"
)

// inSh runs each line in one sh, as a shell on the console would, and returns
// what the line printed.
func inSh(t *testing.T) func(line string) string {
	var before string // all lines so far, for the variables that they set
	var printed string
	return func(line string) string {
		before += line + "\n"
		out, _ := exec.CommandContext(t.Context(), "sh", "-c", before).CombinedOutput()
		news := strings.TrimPrefix(string(out), printed)
		printed = string(out)
		return news
	}
}

func TestCommandsRunAndTellTheirExitCode(t *testing.T) {
	g := newGuest(t)
	done := make(chan struct{})
	go func() { defer close(done); g.shell(t, inSh(t)) }()
	ctx := soon(t)
	if err := g.Login(ctx, "root"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("0123456789äöü", 200)
	for _, c := range []struct {
		name, command, output string
		code                  int
	}{
		{"a line", "echo hello", "hello\n", 0},
		{"no line end", "printf hello", "hello", 0},
		{"nothing", "true", "", 0},
		{"an exit code", "sh -c 'exit 42'", "", 42},
		{"quotes", `echo "it's" 'a "b"' \\`, "it's a \"b\" \\\n", 0},
		{"longer than a line editor takes", "echo '" + long + "'", long + "\n", 0},
		{"several lines", "for i in 1 2; do\n\techo $i\ndone", "1\n2\n", 0},
		{"escapes survive the long way", "printf '%s\\n' 'a\\tb' ; # " + long, "a\\tb\n", 0},
		{"in the background", "echo x & wait", "x\n", 0},
		{"markers of another command", "echo BEGIN1; echo END1-7-", "BEGIN1\nEND1-7-\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, code, err := g.Run(ctx, c.command)
			if err != nil || output != c.output || code != c.code {
				t.Errorf("got %q, %d, %v, want %q, %d", output, code, err, c.output, c.code)
			}
		})
	}
	g.port.Close()
	<-done
}

func TestALoginThatIsRefusedIsAnError(t *testing.T) {
	g := newGuest(t)
	done := make(chan struct{})
	go func() { defer close(done); g.shell(t, inSh(t)) }()
	if err := g.Login(soon(t), "mallory"); err == nil || !strings.Contains(err.Error(), "Login incorrect") {
		t.Errorf("got %v, want the refusal", err)
	}
	<-done
}

func TestPiecesAreNoLongerThanAskedForAndWholeTogether(t *testing.T) {
	s := strings.Repeat("aä€😀", 100)
	got := pieces(s, 7)
	for _, p := range got {
		if len(p) > 7 || strings.ToValidUTF8(p, "?") != p {
			t.Errorf("piece %q is too long or cuts a character", p)
		}
	}
	if strings.Join(got, "") != s {
		t.Error("the pieces are not the text")
	}
}
