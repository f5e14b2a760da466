// Command tk (telekinesis) is the build machine's tool: it builds the kernel,
// squashfs, initramfs, update tars and disk images of psyopsOS, and runs them
// in virtual machines.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/step"
)

// An env is what a command may use of the world.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	settings       *settings.Settings
	page           func(wordsAndFlags) // takes a command's help instead of stdout
}

// A command is one word of tk.
type command struct {
	name    string
	task    string // what it is for, in the list of commands
	args    string // after the name, in the usage line
	short   string // in the list of commands
	example string
	run     func(ctx context.Context, e env, args []string) error
	subs    []command // instead of run: words that follow this one
	words   []string  // what may follow, beside flags and files; for completion

	withoutSettings bool // it runs even where psyops.toml is wrong
}

// Tasks are the headings of the list of commands.
const (
	taskBuild   = "Build"
	taskTry     = "Try"
	taskNodes   = "Nodes and their secrets"
	taskPublish = "Sign and publish"
	taskDeploy  = "Bring to machines"
	taskSetUp   = "Set up"
)

func tasks() []string {
	return []string{taskSetUp, taskBuild, taskTry, taskNodes, taskPublish, taskDeploy}
}

func commands() []command {
	return []command{
		initCommand().in(taskSetUp), showconfigCommand().in(taskSetUp), checkDepsCommand().in(taskSetUp),
		completionCommand().in(taskSetUp), manCommand().in(taskSetUp), versionCommand().in(taskSetUp),
		mkimageCommand().in(taskBuild), lockCommand().in(taskBuild), outdatedCommand().in(taskBuild), buildpkgCommand().in(taskBuild),
		vmCommand().in(taskTry), writeCommand().in(taskDeploy), deployosCommand().in(taskDeploy),
		nodeCommand().in(taskNodes), psynetCommand().in(taskNodes),
		signifyCommand().in(taskPublish), deaddropCommand().in(taskPublish),
	}
}

// in says under which heading c is listed.
func (c command) in(task string) command {
	c.task = task
	return c
}

// A usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second Ctrl-C ends at once.
	context.AfterFunc(ctx, stop)
	// mkfs.fat, mke2fs and depmod are in sbin, which a user's PATH may lack.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	os.Exit(run(ctx, env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}, os.Args[1:]))
}

// run runs one command and is its exit status: 0, 1 for an error, 2 for a
// mistake on the command line.
func run(ctx context.Context, e env, args []string) int {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" {
		help(e.stdout)
		return 0
	}
	if args[0] == "--version" {
		args = append([]string{"version"}, args[1:]...)
	}
	if args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] })
	if i < 0 {
		fmt.Fprintf(e.stderr, "tk: no command %q\nhint: %s; `tk help` lists all\n", args[0], meant(args[0]))
		return 2
	}
	c := commands()[i]
	e, err := e.withSettings(c, args[1:])
	switch {
	case err != nil:
		return status(e, c, err)
	case c.subs != nil:
		return runGroup(ctx, e, c, args[1:])
	}
	return status(e, c, c.run(ctx, e, args[1:]))
}

// meant is what somebody may have meant who typed a word that is no command: a
// word of a group, else what is spelt like it.
func meant(typed string) string {
	for _, c := range commands() {
		if slices.ContainsFunc(c.subs, func(sub command) bool { return sub.name == typed }) {
			return fmt.Sprintf("there is `tk %s %s`", c.name, typed)
		}
	}
	return fmt.Sprintf("the nearest is `tk %s`", nearestCommand(typed, commands()))
}

// withSettings is e with the settings. A mistake in them is no reason to keep
// back help, or to keep a new psyops.toml from being made.
func (e env) withSettings(c command, args []string) (env, error) {
	loaded, err := loadSettings(os.Getenv)
	if err != nil && (c.withoutSettings || slices.ContainsFunc(args, isHelp)) {
		loaded, err = settings.Defaults(settingsTable(os.Getenv)), nil
	}
	e.settings = loaded
	return e, err
}

func status(e env, c command, err error) int {
	if err == nil {
		return 0
	}
	if _, isUsage := err.(usageError); isUsage {
		fmt.Fprintf(e.stderr, "tk %s: %v\nusage: tk %s %s\nexample: %s\n", c.name, err, c.name, c.args, c.example)
		if hint := step.HintOf(err); hint != "" {
			fmt.Fprintf(e.stderr, "hint: %s\n", hint)
		}
		return 2
	}
	fmt.Fprintf(e.stderr, "tk %s: %v\n", c.name, err)
	if hint := step.HintOf(err); hint != "" {
		fmt.Fprintf(e.stderr, "hint: %s\n", hint)
	}
	return 1
}

func help(w io.Writer) {
	fmt.Fprint(w, "tk builds psyopsOS, tries it and brings it to the nodes.\n\nusage: tk COMMAND [ARGUMENTS]\n")
	for _, task := range tasks() {
		fmt.Fprintf(w, "\n%s\n", task)
		for _, c := range commands() {
			if c.task == task {
				fmt.Fprintf(w, "  %-12s %s\n  %-12s e.g. %s\n", c.name, c.short, "", c.example)
			}
		}
	}
	fmt.Fprint(w, "\n`tk COMMAND --help` tells all about one, `tk showconfig` what is set.\n")
}

// oneOf checks a flag's value against its choices.
func oneOf(flag, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return usagef("--%s %q: want one of %s", flag, value, strings.Join(choices, ", "))
}
