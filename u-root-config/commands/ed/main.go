// Command ed is the editor of the emergency shell: the line editor of every
// Unix, the part of it that repairs a file, on any terminal. u-root's own one
// can neither make a new file nor add lines at a file's end.
//
//	ed FILE
//
// Ctrl-C does not end it, so that no work is lost.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

const usage = `an address is a line's number, . (this line), $ (the last one) or /REGEXP/;
A,B is from A to B, and a comma alone is all lines.
  p  show      n  show with numbers      d  delete
  a  add after      i  insert before      c  change: then type lines, and . alone to end
  s/REGEXP/TEXT/    replace in the line once, with g behind it everywhere
  w [FILE]  write      q  leave      Q  leave without writing      h  this help
`

func main() {
	if len(os.Args) > 2 {
		fmt.Fprintln(os.Stderr, "usage: ed FILE")
		os.Exit(2)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	e := &editor{in: bufio.NewReader(os.Stdin), out: os.Stdout}
	if len(os.Args) == 2 {
		if err := e.open(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "ed:", err)
			os.Exit(1)
		}
	}
	fmt.Println("h for help")
	e.run()
}

// run obeys commands until it is told to leave.
func (e *editor) run() {
	for {
		fmt.Fprint(e.out, "* ")
		line, err := e.in.ReadString('\n')
		if err != nil {
			return
		}
		done, err := e.obey(strings.TrimSpace(line))
		if err != nil {
			fmt.Fprintln(e.out, "?", err)
		}
		if done {
			return
		}
	}
}

// open reads a file; one that is not there is new.
func (e *editor) open(name string) error {
	content, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e.file = name
	if len(content) > 0 {
		e.lines = strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	}
	e.at = len(e.lines)
	fmt.Fprintf(e.out, "%s: %d lines\n", name, len(e.lines))
	return nil
}

// write gives the file its new content at once: a machine that is switched off
// meanwhile has the old or the new.
func (e *editor) write(name string) (err error) {
	if name == "" {
		name = e.file
	}
	if name == "" {
		return errors.New("which file? w FILE")
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(name); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".ed-")
	if err != nil {
		return err
	}
	for _, line := range e.lines {
		if _, err = f.WriteString(line + "\n"); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	e.file, e.changed = name, false
	fmt.Fprintf(e.out, "%s: %d lines written\n", name, len(e.lines))
	return nil
}
