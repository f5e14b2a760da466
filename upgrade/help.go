package upgrade

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"psyopsOS/bootstate"
)

func commands() []command {
	versionFlag := func(c *call, set *flag.FlagSet) {
		set.StringVar(&c.version, "version", "", "the `VERSION`, instead of the newest")
	}
	dryRunFlag := func(c *call, set *flag.FlagSet) {
		set.BoolVar(&c.dryRun, "dry-run", false, "tell what would be done, and do nothing")
	}
	forceFlags := func(c *call, set *flag.FlagSet) {
		dryRunFlag(c, set)
		set.BoolVar(&c.force, "force", false, "also a release whose trial has failed, or that is there already")
	}
	return []command{
		{"show", "[system|latest|FILE|REPOSITORY-FILE…]", "what is on this machine's disk, or what a release is", none, show},
		{"check", "[--target T] [--version V]", "whether there is another version: exit status 0 no, 10 yes", func(c *call, set *flag.FlagSet) {
			versionFlag(c, set)
			set.Var(&c.targets, "target", "compare `T`: a, b, booted, nonbooted or efisys; default a and b")
		}, check},
		{"download", "[--type T] [--version V] OUTPUT", "fetch and verify a release", func(c *call, set *flag.FlagSet) {
			versionFlag(c, set)
			set.Var(&c.types, "type", "the `TYPE` of release: psyopsOS (default) or psyopsESP")
		}, download},
		{"apply", "a|b|booted|nonbooted [efisys] [--os-tar F | --os-version V] [--esp-tar F | --esp-version V]", "write a release to a side, usually the nonbooted one, and put it on trial; replace the boot loader", func(c *call, set *flag.FlagSet) {
			set.StringVar(&c.osTar, "os-tar", "", "the release in `FILE`, with its signature FILE.minisig beside it")
			set.StringVar(&c.osVersion, "os-version", "", "the `VERSION` in the repository; default the newest")
			set.StringVar(&c.espTar, "esp-tar", "", "efisys: the release in `FILE`, with its signature FILE.minisig beside it")
			set.StringVar(&c.espVersion, "esp-version", "", "efisys: the `VERSION` in the repository; default the newest")
			set.BoolVar(&c.noBootCfg, "no-boot-cfg", false, "write the side and leave the boot loader as it is")
			set.StringVar(&c.defaultLabel, "default-boot-label", "", "the `LABEL` for the next restart, instead of the one that is written")
			set.IntVar(&c.tries, "tries", bootstate.MaxTries, "how many boots the release has to prove itself, 1 to 3")
			set.Var(&c.confirm, "confirm", "`WHO` keeps the release: health (default), the checks of the node; remote, only a commit from outside within the time of psyopsos.deadline=")
			set.BoolVar(&c.allowDowngrade, "allow-downgrade", false, "take a release that is older than one that was committed here")
			forceFlags(c, set)
		}, apply},
		{"commit", "", "keep the release that is on trial; clear a trial that has failed", dryRunFlag, commit},
		{"health", "", "judge this boot by the programs in /etc/psyopsOS/health.d: commit, or end a failed trial with a restart", none, health},
		{"rollback", "", "give a trial up; without one, put the other side on trial", forceFlags, rollback},
		{"set-default", "LABEL", "put psyopsOS-A or psyopsOS-B on trial, to become the default with `commit`", forceFlags, setDefault},
		{"status", "[--json | --line]", "the booted side, its release, how the boot went, and the last failure", func(c *call, set *flag.FlagSet) {
			set.BoolVar(&c.line, "line", false, "the same in one line")
			set.BoolVar(&c.loginScreen, "login-screen", false, "write that line to where the login screen and the shell's prompt have it from")
		}, status},
		{"reboot", "[--kexec]", "restart in good order; where the shutdown hangs, all the same", func(c *call, set *flag.FlagSet) {
			set.BoolVar(&c.kexec, "kexec", false, "start the kernel of the side that the boot loader would take next, without firmware and boot loader; counts as they would")
			set.BoolVar(&c.loaded, "loaded", false, "start at once the kernel that --kexec has loaded: for the service at the end of a shutdown")
		}, reboot},
		{"boot-chart", "[--svg] [FILE]", "where this boot's time went, or that of another machine's boot.json", func(c *call, set *flag.FlagSet) {
			set.BoolVar(&c.svg, "svg", false, "draw a picture instead of a table")
		}, bootChart},
		{"completion", "bash|zsh|fish", "a shell's completion, to be sourced", none, completion},
		{"man", "", "this manual, for man: `neuralupgrade man | man -l -`", none, man},
		{"version", "", "what this program was built from", none, func(_ context.Context, c *call) (int, error) {
			fmt.Fprintln(c.env.Stdout, c.env.Commit)
			return exitDone, nil
		}},
	}
}

// help prints all commands and flags, unless what was typed is a mistake.
func help(e Env, err error) (int, error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return exitUsage, err
	}
	fmt.Fprint(e.Stdout, "neuralupgrade shows what this node runs, and updates it.\n\nusage: neuralupgrade [FLAGS] COMMAND [ARGUMENTS]\n\ncommands:\n")
	c := &call{Settings: defaults(architecture())}
	for _, cmd := range commands() {
		fmt.Fprintf(e.Stdout, "  %s %s\n      %s\n", cmd.name, cmd.args, cmd.short)
		set := c.newFlags(cmd.name)
		cmd.flags(c, set)
		set.SetOutput(indented{e})
		set.PrintDefaults()
	}
	fmt.Fprintf(e.Stdout, "\nflags of all commands (also in %s without the dashes, and in the environment as %sNAME):\n", ConfigFile, envPrefix)
	set := c.newFlags("all")
	c.Settings.flags(set)
	set.SetOutput(e.Stdout)
	set.PrintDefaults()
	fmt.Fprint(e.Stdout, "\nexit status: 0 done or up to date, 10 an update is available, 1 error, 2 mistake on the command line\n")
	return exitDone, nil
}

// indented puts a command's flags below it.
type indented struct{ e Env }

func (i indented) Write(p []byte) (int, error) {
	if _, err := fmt.Fprintf(i.e.Stdout, "    %s", p); err != nil {
		return 0, err
	}
	return len(p), nil
}
