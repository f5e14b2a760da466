package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"psyopsOS/node"
	"psyopsOS/step"
)

func psynetRun() command {
	return command{
		name: "run", args: "[NAME…] -- PROGRAM [ARGUMENT…]",
		short:   "run a program that needs the CA's key, or a node's, from the store",
		example: "tk psynet run -- nebula-cert sign -ca-crt {}/ca.crt -ca-key {}/ca.key -name tablet -ip 10.77.0.210/24",
	}.with("psynet", runPsynet)
}

func runPsynet(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
The program finds ca.crt and ca.key, and NAME.crt and NAME.key for each NAME, in
a folder of mode 0700, in RAM where the machine has /dev/shm. `+"`{}`"+` in its
arguments is that folder, and so is $PSYNET_DIR in its environment. The folder is
gone when the program has ended; what it made there is gone too. Without a NAME
there is the CA alone. A program that fails makes tk fail.
`+storeHelp)
	store := addStoreFlags(flags)
	program := []string(nil)
	if i := slices.Index(args, "--"); i >= 0 {
		args, program = args[:i], args[i+1:]
	}
	names, err := flags.parse(e, args, 0, -1)
	if err != nil {
		return err
	}
	if len(program) == 0 {
		return usagef("which program? Its words come after --")
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	return withKeys(ctx, registry, append([]string{"ca"}, names...), func(dir string) error {
		return runWith(ctx, e, dir, program)
	})
}

// withKeys calls do with a folder that holds the certificates and keys of names.
func withKeys(ctx context.Context, registry node.Registry, names []string, do func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(inRAM(), "psynet-") // 0700
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, name := range names {
		certificate, key, err := halves(ctx, registry, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".crt"), certificate, 0o600); err != nil {
			return err
		}
		if len(key.Reveal()) == 0 {
			continue // a peer's key is where the peer is
		}
		if err := os.WriteFile(filepath.Join(dir, name+".key"), key.Reveal(), 0o600); err != nil {
			return err
		}
	}
	return do(dir)
}

// inRAM is where keys leave no trace on a disk; empty where nothing can be written
// there, for the usual temporary one.
func inRAM() string {
	var on syscall.Statfs_t
	const tmpfs = 0x01021994 // statfs(2)
	if syscall.Statfs("/dev/shm", &on) == nil && on.Type == tmpfs && syscall.Access("/dev/shm", 2) == nil {
		return "/dev/shm"
	}
	return ""
}

func runWith(ctx context.Context, e env, dir string, program []string) error {
	var words []string
	for _, word := range program {
		words = append(words, strings.ReplaceAll(word, "{}", dir))
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, e.stdout, e.stderr
	cmd.Env = append(os.Environ(), "PSYNET_DIR="+dir)
	// Ctrl-C reaches the program by itself; it may have something to tidy up.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		err = fmt.Errorf("%s: %w", program[0], cmp.Or(context.Cause(ctx), err))
		return step.WithHint(err, "the folder {} of its arguments is gone now: `-- sh` gives a shell to look in")
	}
	return nil
}
