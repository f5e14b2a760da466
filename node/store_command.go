package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/secret"
	"psyopsOS/step"
)

// A Command is a store behind a program, such as pass. A template says which
// words are run for each verb; values go through its stdin and stdout, never
// through its command line, and no shell is between.
type Command struct {
	Name   string
	Words  Template
	Stderr io.Writer
}

// A Template is the command line for each verb; {entry} stands for the entry,
// or for the folder that is listed.
type Template struct {
	Get, Put, Delete, List []string
	Files                  string // instead of List: the folder below which each entry is a file
}

// ParseStore reads the name of a store behind a program:
//
//	pass:PREFIX                     the password store, entries below PREFIX
//	cmd:PROGRAM … {verb} {entry}    any program: the verb is get, put, delete or list
func ParseStore(text string, getenv func(string) string, stderr io.Writer) (Command, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "pass":
		if rest == "" || !fs.ValidPath(rest) || strings.HasPrefix(rest, "-") {
			return Command{}, fmt.Errorf("store %q: want pass:PREFIX, the prefix without slashes around it", text)
		}
		home := getenv("PASSWORD_STORE_DIR")
		if home == "" {
			home = filepath.Join(getenv("HOME"), ".password-store")
		}
		entry := rest + "/{entry}"
		return Command{text, Template{Files: filepath.Join(home, filepath.FromSlash(rest)),
			Get: []string{"pass", "show", entry}, Put: []string{"pass", "insert", "--multiline", "--force", entry}, Delete: []string{"pass", "rm", "--force", entry}}, stderr}, nil
	case "cmd":
		words := strings.Fields(rest)
		if !strings.Contains(rest, "{verb}") || !strings.Contains(rest, "{entry}") || len(words) < 2 {
			return Command{}, step.WithHint(fmt.Errorf("store %q: want a program with {verb} and {entry} among its words", text),
				"e.g. cmd:mystore {verb} {entry}: get and list write to stdout, put reads stdin; list has a folder for the entry")
		}
		with := func(verb string) []string { return replaced(words, "{verb}", verb) }
		return Command{text, Template{Get: with("get"), Put: with("put"), Delete: with("delete"), List: with("list")}, stderr}, nil
	}
	return Command{}, fmt.Errorf("store %q: want a folder, pass:PREFIX or cmd:PROGRAM", text)
}

func replaced(words []string, old, new string) []string {
	words = slices.Clone(words)
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], old, new)
	}
	return words
}

func (s Command) String() string { return "the store " + s.Name }

// Lock does nothing: such a store may lie on another machine, and has no way
// to hold up others.
func (s Command) Lock() (func() error, error) { return func() error { return nil }, nil }

// Get reads an entry.
func (s Command) Get(ctx context.Context, entry string) (secret.Private, error) {
	out, err := s.run(ctx, s.Words.Get, entry, nil)
	return secret.Hide(out), err
}

// Put writes an entry.
func (s Command) Put(ctx context.Context, entry string, value secret.Private) error {
	_, err := s.run(ctx, s.Words.Put, entry, value.Reveal())
	return err
}

// Delete removes an entry.
func (s Command) Delete(ctx context.Context, entry string) error {
	_, err := s.run(ctx, s.Words.Delete, entry, nil)
	return err
}

// List names the entries of a folder.
func (s Command) List(ctx context.Context, folder string) ([]string, error) {
	var lines []string
	if s.Words.Files != "" {
		entries, err := os.ReadDir(filepath.Join(s.Words.Files, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), ".gpg"); ok {
				lines = append(lines, name)
			}
		}
	} else {
		out, err := s.run(ctx, s.Words.List, folder, nil)
		if err != nil {
			return nil, err
		}
		lines = strings.Fields(string(out))
	}
	var names []string
	for _, line := range lines {
		name := strings.TrimPrefix(line, folder+"/")
		if CheckName(name) != nil {
			return nil, fmt.Errorf("%s lists %q in %s: that is no name of an entry", s, line, folder)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// run runs the program. What it prints on stdout may be secret and is in no
// error; what it says on stderr is for the user.
func (s Command) run(ctx context.Context, words []string, entry string, input []byte) ([]byte, error) {
	words = replaced(words, "{entry}", entry)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), s.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s, strings.Join(words, " "), err)
	}
	return out, nil
}
