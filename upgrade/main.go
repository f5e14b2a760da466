// Package upgrade is neuralupgrade: it shows what a node runs and how it came
// to run it. Checking, downloading and applying releases grow here (DESIGN.md
// section 5: inspect, plan, steps).
//
// It reads /run/psyopsOS/boot.json, which init leaves behind.
package upgrade

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"psyopsOS/boot"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// An Env is what the program may use of the world.
type Env struct {
	Stdout, Stderr io.Writer
	Root           string // "/" on a node
	Commit         string // what this program was built from
}

const usage = `neuralupgrade shows what this node runs.

usage: neuralupgrade COMMAND

  status [--json]   the booted side, its release, and how the boot went
  version           what this program was built from

exit status: 0 done, 1 error, 2 mistake on the command line
`

// Main runs one command and is its exit status.
func Main(e Env, args []string) int {
	if len(args) == 0 {
		args = []string{"help"}
	}
	switch args[0] {
	case "help", "-h", "--help":
		fmt.Fprint(e.Stdout, usage)
		return 0
	case "version":
		fmt.Fprintln(e.Stdout, e.Commit)
		return 0
	case "status":
		return status(e, args[1:])
	}
	fmt.Fprintf(e.Stderr, "neuralupgrade: no command %q\nhint: `neuralupgrade help` lists the commands\n", args[0])
	return 2
}

func status(e Env, args []string) int {
	flags := flag.NewFlagSet("neuralupgrade status", flag.ContinueOnError)
	flags.SetOutput(e.Stderr)
	asJSON := flags.Bool("json", false, "print the boot's report as it is")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return 2
	}
	report, raw, err := readReport(e.Root)
	if err != nil {
		fmt.Fprintf(e.Stderr, "neuralupgrade: %v\n", err)
		if hint := step.HintOf(err); hint != "" {
			fmt.Fprintf(e.Stderr, "hint: %s\n", hint)
		}
		return 1
	}
	if *asJSON {
		e.Stdout.Write(raw)
		return 0
	}
	fmt.Fprint(e.Stdout, report.Summary())
	return 0
}

func readReport(root string) (boot.Report, []byte, error) {
	path := filepath.Join(root, layout.BootJSON)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return boot.Report{}, nil, step.WithHint(fmt.Errorf("%s: %w", path, fs.ErrNotExist),
			"this machine was not booted by psyopsOS's init")
	}
	if err != nil {
		return boot.Report{}, nil, err
	}
	var report boot.Report
	if err := json.Unmarshal(raw, &report); err != nil {
		return boot.Report{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	return report, raw, nil
}
