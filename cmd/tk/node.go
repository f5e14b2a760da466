package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/node"
)

func nodeCommand() command {
	return command{
		name: "node", args: "COMMAND",
		short:   "make, keep and show nodes, and what makes a machine one of them",
		example: "tk node new web1 --psynetip 10.77.0.5/24 --mac-address 52:54:00:12:34:56 --outdir web1",
		subs:    []command{nodeNew(), nodeList(), nodeShow(), nodeSave(), nodeDelete(), nodeImage(), nodeSecretVolume()},
	}
}

const storeHelp = `
Secrets are kept in a store (--store or PSYOPSOS_STORE):
  FOLDER                         a file for each node, encrypted with age to the
                                 recipients in FOLDER/recipients.txt, and read
                                 with --identity (PSYOPSOS_IDENTITY); both are
                                 made at first use
  pass:PREFIX                    the password store, entries below PREFIX
  cmd:PROGRAM … {verb} {entry}   any program: get and list print, put reads its
                                 stdin, delete deletes`

// storeFlags are where the store is.
type storeFlags struct{ store, identity *string }

func addStoreFlags(flags *flag.FlagSet) storeFlags {
	return storeFlags{
		store:    flags.String("store", "", "the `store` of secrets; default: PSYOPSOS_STORE, else the folder psyopsOS/store in XDG_DATA_HOME or ~/.local/share"),
		identity: flags.String("identity", "", "the `file` with the age key that reads a store that is a folder; default: PSYOPSOS_IDENTITY, else psyopsOS/age.key in XDG_CONFIG_HOME or ~/.config"),
	}
}

// open is the registry in the store that flags, environment or default name,
// in that order.
func (s storeFlags) open(e env) (node.Registry, error) {
	store := firstOf(*s.store, os.Getenv("PSYOPSOS_STORE"), userFolder("XDG_DATA_HOME", ".local/share", "store"))
	if kind, _, isProgram := strings.Cut(store, ":"); isProgram && !strings.ContainsAny(kind, "/.") {
		command, err := node.ParseStore(store, os.Getenv, e.stderr)
		return node.Registry{Store: command}, err
	}
	identity := firstOf(*s.identity, os.Getenv("PSYOPSOS_IDENTITY"), userFolder("XDG_CONFIG_HOME", ".config", "age.key"))
	if store == "" || identity == "" {
		return node.Registry{}, errors.New("no HOME, so no default place for the store: say --store and --identity")
	}
	return node.Registry{Store: node.AgeFolder{Dir: store, Identity: identity}}, nil
}

// prepare makes a store that is a folder, for whoever puts something there.
func prepare(e env, g node.Registry) error {
	folder, ok := g.Store.(node.AgeFolder)
	if !ok {
		return nil
	}
	made, err := folder.Prepare(time.Now())
	for _, name := range made {
		fmt.Fprintf(e.stderr, "made %s\n", name)
	}
	if len(made) > 0 && err == nil {
		fmt.Fprintf(e.stderr, "%s alone reads the store: keep a copy of it in a safe place\n", folder.Identity)
	}
	return err
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func userFolder(variable, below, name string) string {
	base := os.Getenv(variable)
	if base == "" {
		home := os.Getenv("HOME")
		if home == "" {
			return ""
		}
		base = filepath.Join(home, filepath.FromSlash(below))
	}
	return filepath.Join(base, "psyopsOS", name)
}

// run makes a command's run function of one that is told what it is called.
func (c command) with(group string, do func(ctx context.Context, e env, c command, args []string) error) command {
	c.run = func(ctx context.Context, e env, args []string) error {
		named := c
		named.name = group + " " + c.name
		return helped(do(ctx, e, named, args))
	}
	return c
}
