package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/term"

	"psyopsOS/step"
)

// passwords are where the passwords of one or more keys come from.
type passwords struct{ files, commands *[]string }

func passwordFlags(flags wordsAndFlags) *passwords {
	return &passwords{
		files:    flags.strings("password-file", "read the password from the first line of this `file`"),
		commands: flags.strings("password-command", "the first line that this `command` prints (run by sh) is the password"),
	}
}

// sources are the flags that were given.
func (p *passwords) sources() (given []string) {
	for range *p.files {
		given = append(given, "--password-file")
	}
	for range *p.commands {
		given = append(given, "--password-command")
	}
	return given
}

// fresh is the password for a new key: typed twice, where it is typed.
func (p *passwords) fresh(ctx context.Context, e env) ([]byte, error) {
	if len(p.sources()) > 0 {
		return p.of(ctx, e, 0, "")
	}
	first, err := prompt(ctx, "password for the new key: ")
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, step.WithHint(errors.New("the password is empty"), "--no-password makes a key without one")
	}
	again, err := prompt(ctx, "the same once more: ")
	if err == nil && !bytes.Equal(first, again) {
		err = errors.New("the two passwords differ")
	}
	return first, err
}

// of is the password of the n-th encrypted key: the n-th source, or the only
// one, or what is typed.
func (p *passwords) of(ctx context.Context, e env, n int, key string) ([]byte, error) {
	files, commands := *p.files, *p.commands
	switch {
	case len(files) > 0 && len(commands) > 0:
		return nil, usagef("--password-file and --password-command: one of them is enough")
	case len(files) > 0:
		return passwordFile(files[min(n, len(files)-1)])
	case len(commands) > 0:
		return passwordCommand(ctx, e, commands[min(n, len(commands)-1)])
	}
	return prompt(ctx, "password of "+key+": ")
}

func passwordFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, step.WithHint(fmt.Errorf("the password file %s has mode %04o: others may read it", name, info.Mode().Perm()), "chmod 600 %s", name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return firstLine(text, name)
}

// passwordCommand runs a store's command. What it prints is shown nowhere.
func passwordCommand(ctx context.Context, e env, command string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stdin, cmd.Stderr = e.stdin, e.stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("--password-command %q: %w", command, err)
	}
	return firstLine(out, "the output of --password-command")
}

func firstLine(text []byte, from string) ([]byte, error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, fmt.Errorf("the first line of %s is empty: no password", from)
	}
	return line, nil
}

// prompt asks on the terminal, whatever stdin and stdout are, and shows
// nothing of the answer. Ctrl-C ends it and leaves the terminal as it was.
func prompt(ctx context.Context, question string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, step.WithHint(fmt.Errorf("no terminal to ask for the password: %w", err),
			"give it with --password-file or --password-command")
	}
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask for the password: %w", err), tty.Close())
	}
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	fmt.Fprint(tty, question)
	go func() {
		text, err := term.ReadPassword(int(tty.Fd()))
		answered <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		// The reader cannot be woken: it ends with the program, and so does
		// its terminal.
		fmt.Fprintln(tty)
		return nil, errors.Join(ctx.Err(), term.Restore(int(tty.Fd()), before))
	case a := <-answered:
		fmt.Fprintln(tty)
		if a.err != nil {
			a.err = fmt.Errorf("read the password from the terminal: %w", a.err)
		}
		return a.text, errors.Join(a.err, tty.Close())
	}
}
