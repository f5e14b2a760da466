package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// guest is the other end of a console.
type guest struct {
	*Console
	port net.Conn
	log  *bytes.Buffer
}

func newGuest(t *testing.T, fails ...string) guest {
	t.Helper()
	ours, theirs := net.Pipe()
	g := guest{port: theirs, log: new(bytes.Buffer)}
	var err error
	if g.Console, err = newConsole(ours, g.log, fails); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { g.read(); close(done) }()
	t.Cleanup(func() { theirs.Close(); <-done })
	return g
}

func (g guest) says(t *testing.T, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if _, err := io.WriteString(g.port, p); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the guest says %q: %v", p, err)
		}
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestExpectGoesOnAfterTheLastMatch(t *testing.T) {
	g := newGuest(t)
	go g.says(t, "uptime 1.", "5\r\nuptime 2.5\r\n")
	for _, want := range []string{"1.5", "2.5"} {
		if m, err := g.Expect(soon(t), `uptime (\d\.\d)`); err != nil || m[1] != want {
			t.Errorf("got %q, %v, want %s", m, err, want)
		}
	}
}

func TestExpectFindsWhatCameInPiecesAndLongBefore(t *testing.T) {
	g := newGuest(t)
	long := strings.Repeat("another line of a kernel log\r\n", 3000)
	go func() {
		g.says(t, long, "psyops")
		time.Sleep(5 * gather)
		g.says(t, "OS login: ")
	}()
	if _, err := g.Expect(soon(t), `psyopsOS login:`); err != nil {
		t.Error(err)
	}
	if g.log.String() != long+"psyopsOS login: " {
		t.Error("the log is not what the guest said")
	}
}

func TestAWaitThatEndsShowsTheLastLines(t *testing.T) {
	g := newGuest(t)
	for i := range 100 {
		g.says(t, fmt.Sprintf("line %d.\r\n", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := g.Expect(ctx, "login:")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the deadline", err)
	}
	for text, want := range map[string]bool{"line 99.": true, "line 70.": true, "line 69.": false, `"login:"`: true} {
		if strings.Contains(err.Error(), text) != want {
			t.Errorf("%q in the error: want %v, in\n%v", text, want, err)
		}
	}
}

func TestAFailurePatternEndsAWait(t *testing.T) {
	for _, c := range []struct {
		name, says, want, failure string
	}{
		{"a panic instead of the login", "ok\r\nKernel panic - not syncing: no init\r\n", "login:", "Kernel panic - not syncing: no init"},
		{"a panic before the login", "Kernel panic - not syncing: no init\r\nlogin:", "login:", "Kernel panic - not syncing: no init"},
		{"a panic after the login", "login:\r\nKernel panic - not syncing: no init\r\n", "login:", ""},
		{"a panic that is waited for", "Kernel panic - not syncing: no init\r\n", "panic", ""},
		{"the end of a panic that is waited for", "Kernel panic - not syncing: no init\r\n", "no init", ""},
		{"no loader", "\x1b[2J\x1b[01;01HUEFI Interactive Shell v2.2\r\n", "GRUB", "UEFI Interactive Shell"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // each waits for a guest's last words
			g := newGuest(t, FailurePatterns()...)
			for _, b := range []byte(c.says) {
				g.says(t, string(b))
			}
			_, err := g.Expect(soon(t), c.want)
			var f *Failure
			if c.failure == "" && err != nil {
				t.Errorf("got %v, want a match", err)
			}
			if c.failure != "" && (!errors.As(err, &f) || f.Text != c.failure) {
				t.Errorf("got %v, want the failure %q", err, c.failure)
			}
		})
	}
}

func TestTheGuestsEndEndsAWait(t *testing.T) {
	g := newGuest(t)
	g.says(t, "reboot: Power down\r\n")
	g.port.Close()
	if _, err := g.Expect(soon(t), "Power down"); err != nil {
		t.Errorf("what was said before the end: %v", err)
	}
	if _, err := g.Expect(soon(t), "login:"); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want %v", err, ErrEnded)
	}
}

func TestTextIsWithoutWhatIsForTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\r\n":                         "a\nb\n",
		"~ # \x1b[6necho":                    "~ # echo",
		"\x1b[32;1mok\x1b[0m":                "ok",
		"one\x1b[4;2Htwo\x1b[5;2H\x1b[6;2Hx": "one\ntwo\nx",
		"\x1b]0;title\aroot":                 "root",
		"\x1b]0;title\x1b\\root":             "root",
	} {
		var whole, single cleaner
		var bytewise []byte
		for _, b := range []byte(in) {
			bytewise = single.clean(bytewise, []byte{b})
		}
		if got := string(whole.clean(nil, []byte(in))); got != want || string(bytewise) != want {
			t.Errorf("%q: got %q and byte by byte %q, want %q", in, got, bytewise, want)
		}
	}
}

func FuzzCleaner(f *testing.F) {
	f.Add([]byte("~ # \x1b[6n\x1b]0;t\a\x1b[2;3Hx\r\n"), 3)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var whole, halves cleaner
		want := whole.clean(nil, in)
		cut = min(max(cut, 0), len(in))
		got := halves.clean(halves.clean(nil, in[:cut]), in[cut:])
		if !bytes.Equal(got, want) {
			t.Errorf("in halves %q, at once %q", got, want)
		}
		if bytes.ContainsAny(want, "\r\x00") {
			t.Errorf("%q has what is for the terminal", want)
		}
	})
}

// shell plays a login and a shell with busybox's manners: it echoes, asks for
// the cursor's position after each prompt and runs what it gets in sh.
func (g guest) shell(t *testing.T, run func(string) string) {
	lines := bufio.NewReader(g.port)
	read := func() (string, bool) {
		s, err := lines.ReadString('\r')
		if err == nil {
			g.says(t, strings.ReplaceAll(s, "\r", "\r\n"))
		}
		return strings.TrimSuffix(s, "\r"), err == nil
	}
	g.says(t, "\r\nWelcome\r\npsyopsOS login: ")
	if user, ok := read(); !ok || user != "root" {
		g.says(t, "Login incorrect\r\n")
		return
	}
	for ok := true; ok; {
		g.says(t, "~ # \x1b[6n")
		var line string
		if line, ok = read(); ok {
			g.says(t, strings.ReplaceAll(run(line), "\n", "\r\n"))
		}
	}
}
