package main

import (
	"context"
	"errors"
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
Secrets are kept in a store (--store):
  FOLDER                         a file for each node, encrypted with age to the
                                 recipients in FOLDER/recipients.txt, and read
                                 with --identity; both are made at first use
  pass:PREFIX                    the password store, entries below PREFIX
  cmd:PROGRAM … {verb} {entry}   any program: get and list print, put reads its
                                 stdin, delete deletes`

// storeFlags are where the store is.
type storeFlags struct{ store, identity *string }

func addStoreFlags(flags wordsAndFlags) storeFlags {
	f := storeFlags{new(string), new(string)}
	flags.text(f.store, "nodes.store")
	flags.text(f.identity, "nodes.identity")
	return f
}

// open is the registry in the store.
func (s storeFlags) open(e env) (node.Registry, error) {
	store, identity := *s.store, *s.identity
	if kind, _, isProgram := strings.Cut(store, ":"); isProgram && !strings.ContainsAny(kind, "/.") {
		command, err := node.ParseStore(store, os.Getenv, e.stderr)
		return node.Registry{Store: command}, err
	}
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

// userFolder is a place of psyopsOS in one of the user's folders.
func userFolder(getenv func(string) string, variable, below, name string) string {
	base := getenv(variable)
	if base == "" {
		home := getenv("HOME")
		if home == "" {
			return ""
		}
		base = filepath.Join(home, filepath.FromSlash(below))
	}
	return filepath.Join(base, "psyopsOS", name)
}

// with is does, for a command of a group.
func (c command) with(group string, do func(ctx context.Context, e env, c command, args []string) error) command {
	name := c.name
	c.name = group + " " + name
	c = c.does(do)
	c.name = name
	return c
}
