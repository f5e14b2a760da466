// Package upgrade is neuralupgrade: it shows what a node runs and what lies on
// its disk, checks and fetches releases, and brings them onto the side that is
// not booted, so that no power cut leaves a machine that does not boot
// (DESIGN.md section 5: Inspect, NewPlan, Plan.Steps).
//
// It reads /run/psyopsOS/boot.json, which init leaves behind, the volumes of
// the disk, the keys of the image, ConfigFile, and a repository (package repo).
// It writes a side, the boot loader's state (package bootstate), and
// /run/psyopsOS/neuralupgrade.lock.
package upgrade

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/efi"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/step"
	"psyopsOS/trial"
)

// An Env is what the program may use of the world.
type Env struct {
	Stdout, Stderr io.Writer
	Root           string // "/" on a node
	Commit         string // what this program was built from
	// Storage is the kernel's; the default is the real one.
	Storage mounts.System
	// OpenState opens an EFI system partition for a write; the default is
	// bootstate.OpenDirect.
	OpenState func(path string) (boot.StateDevice, error)
	// Variables are the firmware's, in a mounted efivarfs; the default is
	// efi.Dir.
	Variables func(dir string) efi.Variables
	// Restart restarts the machine; the default is reboot(2).
	Restart func() error
	// Kexec loads a kernel to be started by a later restart; the default is
	// kexec_file_load(2).
	Kexec func(kernel, initramfs *os.File, words string) error
	// Shutdown begins an orderly restart; the default is the userland's reboot.
	Shutdown func() error
	Getenv   func(string) string
	Now      func() time.Time
	Web      repo.Options
	lock     string // instead of lockFile: the image that is written
}

func (e Env) withDefaults() Env {
	if e.Storage == nil {
		e.Storage = mounts.Linux{Root: "/"}
	}
	if e.OpenState == nil {
		e.OpenState = func(path string) (boot.StateDevice, error) { return bootstate.OpenDirect(path, true) }
	}
	if e.Variables == nil {
		e.Variables = func(dir string) efi.Variables { return efi.Dir(dir) }
	}
	if e.Restart == nil {
		// A service that hangs must not keep the old release from coming back.
		e.Restart = func() error { return trial.RestartNow(e.Storage) }
	}
	if e.Kexec == nil {
		e.Kexec = kexecFileLoad
	}
	if e.Shutdown == nil {
		e.Shutdown = shutdown
	}
	if e.Getenv == nil {
		e.Getenv = os.Getenv
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	return e
}

func (e Env) getenv(name string) string { return e.Getenv(name) }

// The exit statuses.
const (
	exitDone      = 0
	exitError     = 1
	exitUsage     = 2
	exitAvailable = 10
)

// A call is one command with its settings and words.
type call struct {
	Settings
	env      Env
	args     []string
	images   *images       // in the place of devices
	patience time.Duration // with another neuralupgrade that is at work

	version, osVersion, osTar, espVersion, espTar, defaultLabel string
	targets, types                                              list
	tries                                                       int
	noBootCfg, force, allowDowngrade, dryRun                    bool
	svg                                                         bool
	confirm                                                     confirm
	line, loginScreen, kexec, loaded                            bool
}

// confirm is the flag that says who keeps a release on trial.
type confirm string

func (c *confirm) String() string { return string(*c) }
func (c *confirm) Set(text string) error {
	switch text {
	case "health":
		*c = ""
	case bootstate.ConfirmRemote:
		*c = bootstate.ConfirmRemote
	default:
		return fmt.Errorf("%q: health or %s", text, bootstate.ConfirmRemote)
	}
	return nil
}

// list is a flag that may be given several times, or with commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }
func (l *list) Set(text string) error {
	*l = append(*l, strings.Split(text, ",")...)
	return nil
}

// A command is one word of neuralupgrade.
type command struct {
	name, args, short string
	flags             func(*call, *flag.FlagSet)
	run               func(context.Context, *call) (int, error)
}

func none(*call, *flag.FlagSet) {}

// Main runs one command and is its exit status.
func Main(ctx context.Context, e Env, args []string) int {
	e = e.withDefaults()
	status, err := run(ctx, e, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return status
	}
	fmt.Fprintf(e.Stderr, "neuralupgrade: %v\n", err)
	if hint := step.HintOf(err); hint != "" {
		fmt.Fprintf(e.Stderr, "hint: %s\n", hint)
	}
	return exitOf(err)
}

func exitOf(err error) int {
	var mistake usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &mistake):
		return exitUsage
	}
	return exitError
}

// A usageError is a mistake on the command line.
type usageError struct{ error }

func usagef(format string, a ...any) error {
	return step.WithHint(usageError{fmt.Errorf(format, a...)}, "`neuralupgrade help` lists the commands and flags")
}

func run(ctx context.Context, e Env, args []string) (int, error) {
	c := &call{env: e, Settings: defaults(architecture())}
	if err := c.load(e); err != nil {
		return exitError, err
	}
	global := c.newFlags("neuralupgrade")
	c.Settings.flags(global)
	if err := parse(global, args); err != nil {
		return help(e, err)
	}
	if global.NArg() == 0 || global.Arg(0) == "help" {
		return help(e, nil)
	}
	for _, cmd := range commands() {
		if cmd.name == global.Arg(0) {
			return c.run(ctx, cmd, global.Args()[1:])
		}
	}
	return exitUsage, usagef("no command %q", global.Arg(0))
}

func (c *call) run(ctx context.Context, cmd command, args []string) (int, error) {
	set := c.newFlags(cmd.name)
	c.Settings.flags(set)
	cmd.flags(c, set)
	for len(args) > 0 {
		if err := parse(set, args); err != nil {
			return help(c.env, err)
		}
		if set.NArg() == 0 {
			break
		}
		c.args, args = append(c.args, set.Arg(0)), set.Args()[1:]
	}
	if c.NoVerify {
		if !cmd.takesReleases() {
			return exitUsage, usagef("--no-verify with %s: it takes no release", cmd.name)
		}
		fmt.Fprint(c.env.Stderr, noVerifyWarning)
	}
	if err := c.withImages(); err != nil {
		return exitError, err
	}
	return cmd.run(ctx, c)
}

// takesReleases reports whether a command looks at releases from outside.
func (cmd command) takesReleases() bool {
	return slices.Contains([]string{"show", "check", "download", "apply"}, cmd.name)
}

const noVerifyWarning = `neuralupgrade WARNING --no-verify: NO SIGNATURE IS CHECKED.
neuralupgrade WARNING Whoever can change the release, or what lies between it and this machine, decides what is written.
neuralupgrade WARNING A machine boots no release that the keys in its initramfs do not verify.
`

func (c *call) newFlags(name string) *flag.FlagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	return set
}

func parse(set *flag.FlagSet, args []string) error {
	err := set.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usagef("%v", err)
}

// noArgs refuses words after a command that takes none.
func (c *call) noArgs() error {
	if len(c.args) > 0 {
		return usagef("what is %q?", c.args[0])
	}
	return nil
}

func (c *call) repository() (repo.Repository, error) {
	if c.Repository == "" {
		return repo.Repository{}, step.WithHint(errors.New("no repository is set"),
			"name one with --repository, %sREPOSITORY, or repository = \"https://…\" in %s", envPrefix, ConfigFile)
	}
	o := c.env.Web
	o.Retrying = func(err error, pause time.Duration) {
		if !c.Quiet {
			fmt.Fprintf(c.env.Stderr, "neuralupgrade: %v; again in %v\n", err, pause)
		}
	}
	return repo.Open(c.Repository, o)
}

// platform is the word in the names of releases of a kind.
func (c *call) platform(kind release.Kind) string {
	if kind == release.ESP {
		return c.Firmware
	}
	return c.Architecture
}

// find is the release of a version, or the newest where that is empty or
// "latest".
func find(ctx context.Context, r repo.Repository, keys release.Keys, kind release.Kind, platform, version string) (repo.Release, error) {
	if version == "" || version == "latest" {
		return r.Latest(ctx, keys, kind, platform)
	}
	return r.Version(ctx, keys, kind, platform, version)
}

// architecture is this machine's, by the kernel's name.
func architecture() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}
