// Command sh is the command line of psyopsOS's emergency shell: the
// interpreter of u-root's gosh, without a line editor, so that it is at home
// on a serial line. Other than gosh it goes on after a typing error, stops a
// loop at Ctrl-C, shows PS1, leaves when nothing is typed for TMOUT seconds, and
// has `help`.
//
//	sh                 reads commands from the terminal
//	sh FILE, sh -c CMD runs a script
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

func main() {
	err := run(os.Args[1:])
	if status, ok := interp.IsExitStatus(err); ok {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	runner, err := interp.New(interp.StdIO(os.Stdin, os.Stdout, os.Stderr), interp.ExecHandlers(help, untilItEnds))
	if err != nil {
		return err
	}
	switch {
	case len(args) > 1 && args[0] == "-c":
		return script(runner, strings.NewReader(args[1]), "-c", args[2:])
	case len(args) > 0:
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		return script(runner, f, args[0], args[1:])
	case term.IsTerminal(int(os.Stdin.Fd())):
		newTerminal(runner).interact()
		return nil
	}
	return script(runner, os.Stdin, "stdin", nil)
}

func script(runner *interp.Runner, r io.Reader, name string, params []string) error {
	program, err := syntax.NewParser().Parse(r, name)
	if err != nil {
		return err
	}
	if err := interp.Params(append([]string{"--"}, params...)...)(runner); err != nil {
		return err
	}
	return runner.Run(context.Background(), program)
}

// untilItEnds lets a program decide about Ctrl-C: the terminal has told it,
// too, and an editor may want to go on.
func untilItEnds(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		return next(context.WithoutCancel(ctx), args)
	}
}

// help lists the programs in PATH.
func help(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		if args[0] != "help" {
			return next(ctx, args)
		}
		h := interp.HandlerCtx(ctx)
		var names []string
		for _, dir := range filepath.SplitList(h.Env.Get("PATH").String()) {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				names = append(names, e.Name())
			}
		}
		slices.Sort(names)
		fmt.Fprintln(h.Stdout, strings.Join(slices.Compact(names), " "))
		fmt.Fprintln(h.Stdout, "built in: cd echo exit export for if pwd read set test type while; `exit` leaves the shell")
		return nil
	}
}
