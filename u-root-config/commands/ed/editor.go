package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An editor holds one file. Lines are counted from 1.
type editor struct {
	in      *bufio.Reader
	out     io.Writer
	file    string
	lines   []string
	at      int // this line; 0 before the first
	changed bool
}

// obey does one command, and says whether it was the last.
func (e *editor) obey(command string) (done bool, err error) {
	from, to, rest, err := e.addresses(command)
	if err != nil {
		return false, err
	}
	if rest == "" {
		rest = "p"
	}
	word, argument := rest[:1], strings.TrimSpace(rest[1:])
	switch word {
	case "h":
		fmt.Fprint(e.out, usage)
	case "w":
		err = e.write(argument)
	case "q":
		if e.changed {
			return false, errors.New("changed and not written: w writes, Q leaves")
		}
		return true, nil
	case "Q":
		return true, nil
	case "a":
		err = e.insert(to)
	case "i":
		err = e.insert(max(from-1, 0))
	default:
		if from < 1 {
			return false, errors.New("there is no such line")
		}
		err = e.change(word, argument, from, to)
	}
	return false, err
}

// change is a command on lines that are there.
func (e *editor) change(word, argument string, from, to int) error {
	switch word {
	case "p", "n":
		for i := from; i <= to; i++ {
			if word == "n" {
				fmt.Fprintf(e.out, "%d\t", i)
			}
			fmt.Fprintln(e.out, e.lines[i-1])
		}
		e.at = to
	case "d", "c":
		e.lines = slices.Delete(e.lines, from-1, to)
		e.at, e.changed = min(from, len(e.lines)), true
		if word == "c" {
			return e.insert(from - 1)
		}
	case "s":
		return e.substitute(argument, from, to)
	default:
		return fmt.Errorf("no command %q: h for help", word)
	}
	return nil
}

// insert reads lines up to a dot and puts them behind the line after.
func (e *editor) insert(after int) error {
	var lines []string
	for {
		line, err := e.in.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		if line == "." || err != nil {
			break
		}
		lines = append(lines, line)
	}
	e.lines = slices.Insert(e.lines, after, lines...)
	e.at, e.changed = after+len(lines), e.changed || len(lines) > 0
	return nil
}

// substitute does /REGEXP/TEXT/ or /REGEXP/TEXT/g; any character may stand for
// the slash.
func (e *editor) substitute(argument string, from, to int) error {
	if argument == "" {
		return errors.New("s/REGEXP/TEXT/")
	}
	parts := strings.Split(argument[1:], argument[:1])
	if len(parts) < 2 || len(parts) > 3 {
		return errors.New("s/REGEXP/TEXT/")
	}
	re, err := regexp.Compile(parts[0])
	if err != nil {
		return err
	}
	everywhere := len(parts) == 3 && parts[2] == "g"
	found := false
	for i := from; i <= to; i++ {
		line := e.lines[i-1]
		if !re.MatchString(line) {
			continue
		}
		found = true
		e.lines[i-1] = replace(re, line, parts[1], everywhere)
		e.at, e.changed = i, true
	}
	if !found {
		return errors.New("not found")
	}
	fmt.Fprintln(e.out, e.lines[e.at-1])
	return nil
}

func replace(re *regexp.Regexp, line, text string, everywhere bool) string {
	if everywhere {
		return re.ReplaceAllLiteralString(line, text)
	}
	at := re.FindStringIndex(line)
	return line[:at[0]] + text + line[at[1]:]
}

// addresses reads the lines that a command is for, and returns what follows
// them. They are in the file, or 0 for the place before its first line.
func (e *editor) addresses(command string) (from, to int, rest string, err error) {
	from, to = e.at, e.at
	first, rest, err := e.address(command)
	if err != nil {
		return 0, 0, "", err
	}
	after, isRange := strings.CutPrefix(rest, ",")
	switch {
	case !isRange && first >= 0:
		from, to = first, first
	case isRange:
		from, to = max(first, 0), len(e.lines)
		if first < 0 {
			from = min(1, len(e.lines))
		}
		var last int
		if last, rest, err = e.address(after); err != nil {
			return 0, 0, "", err
		}
		if last >= 0 {
			to = last
		}
	}
	if from > to || to > len(e.lines) {
		return 0, 0, "", fmt.Errorf("there is no line %d,%d: the file has %d", from, to, len(e.lines))
	}
	return from, to, rest, nil
}

// address reads one address; -1 where there is none.
func (e *editor) address(text string) (line int, rest string, err error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	switch {
	case digits > 0:
		line, err = strconv.Atoi(text[:digits])
		return line, text[digits:], err
	case strings.HasPrefix(text, "."):
		return e.at, text[1:], nil
	case strings.HasPrefix(text, "$"):
		return len(e.lines), text[1:], nil
	case strings.HasPrefix(text, "/"):
		pattern, rest, _ := strings.Cut(text[1:], "/")
		line, err := e.search(pattern)
		return line, rest, err
	}
	return -1, text, nil
}

// search looks for a line behind this one, and goes on at the file's start.
func (e *editor) search(pattern string) (int, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return 0, err
	}
	for i := range e.lines {
		if line := (e.at+i)%len(e.lines) + 1; re.MatchString(e.lines[line-1]) {
			return line, nil
		}
	}
	return 0, errors.New("not found")
}
