package vm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A shell's line editor takes about a thousand bytes a line (busybox) and a
// tty 4095: longer commands are sent in pieces of this size.
const pieceOfCommand = 400

// Login logs user in, who has no password or an empty one, and returns when a
// shell has answered.
func (c *Console) Login(ctx context.Context, user string) error {
	if _, err := c.Expect(ctx, `login: ?`); err != nil {
		return err
	}
	if err := c.Send(user + "\r"); err != nil {
		return err
	}
	m, err := c.Expect(ctx, `(?m)Password: ?|Login incorrect|[#$>] ?$`)
	if err != nil {
		return err
	}
	if strings.HasPrefix(m[0], "Password") {
		if err := c.Send("\r"); err != nil {
			return err
		}
	}
	if m[0] == "Login incorrect" {
		return fmt.Errorf("log in as %s on the console: %s", user, m[0])
	}
	return c.Shell(ctx)
}

// Shell returns when a shell answers on the console. It asks again after a
// while, because getty, login and shells may throw away what was typed before
// they were ready.
func (c *Console) Shell(ctx context.Context) error {
	for try := 1; ; try++ {
		if err := c.Send(fmt.Sprintf("echo SHELL''%d-\r", try)); err != nil {
			return err
		}
		patience, cancel := context.WithTimeout(ctx, time.Duration(try)*5*time.Second)
		m, err := c.Expect(patience, `SHELL\d+-|Login incorrect`)
		cancel()
		switch {
		case err == nil && m[0] == "Login incorrect":
			return errors.New("log in on the console: " + m[0])
		case err == nil:
			return nil
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("no shell answers: %w", err)
		}
	}
}

// Run types a shell command and returns what it printed and its exit code. The
// markers around the output are split where they are typed, since the terminal
// shows what is typed too. Kernel messages on the same console may stand in
// the output: `dmesg -n 1` first, where that matters.
func (c *Console) Run(ctx context.Context, command string) (output string, exitCode int, err error) {
	c.mu.Lock()
	c.runs++
	n := c.runs
	c.mu.Unlock()
	typed := command
	if len(command) > pieceOfCommand || strings.ContainsAny(command, "\r\n\t&#") {
		if err := c.assign(ctx, n, command); err != nil {
			return "", 0, fmt.Errorf("type %q: %w", command, err)
		}
		typed = `eval "$(printf %b "$psyvm")"`
	}
	if err := c.Send(fmt.Sprintf("echo B''EGIN%d; %s; echo E''ND%d-$?-\r", n, typed, n)); err != nil {
		return "", 0, err
	}
	if _, err := c.Expect(ctx, fmt.Sprintf(`BEGIN%d\n`, n)); err != nil {
		return "", 0, fmt.Errorf("start %q: %w", command, err)
	}
	from := c.position()
	m, err := c.Expect(ctx, fmt.Sprintf(`END%d-(\d+)-`, n))
	if err != nil {
		return "", 0, fmt.Errorf("run %q: %w", command, err)
	}
	exitCode, err = strconv.Atoi(m[1])
	return c.Text()[from : c.position()-len(m[0])], exitCode, err
}

func (c *Console) position() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// assign puts command, escaped for printf %b, into the guest's shell variable
// psyvm: piece by piece, each acknowledged before the next is typed.
func (c *Console) assign(ctx context.Context, n int, command string) error {
	value := ""
	for i, piece := range pieces(escaped(command), pieceOfCommand) {
		quoted := "'" + strings.ReplaceAll(piece, "'", `'\''`) + "'"
		if err := c.Send(fmt.Sprintf("psyvm=%s%s; echo G''OT%d.%d-\r", value, quoted, n, i)); err != nil {
			return err
		}
		if _, err := c.Expect(ctx, fmt.Sprintf(`GOT%d\.%d-`, n, i)); err != nil {
			return err
		}
		value = `"$psyvm"`
	}
	return nil
}

// escaped has no control character, which a line editor would take for a key.
func escaped(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s)
}

// pieces cuts s into pieces of at most size bytes, never inside a character.
func pieces(s string, size int) []string {
	var all []string
	for len(s) > size {
		cut := size
		for cut > 1 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		all = append(all, s[:cut])
		s = s[cut:]
	}
	return append(all, s)
}
