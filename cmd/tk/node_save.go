package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"psyopsOS/node"
	"psyopsOS/step"
)

// outFlags are where a node's secrets go.
type outFlags struct {
	dir, tar, script *string
	force            *bool
}

func addOutFlags(flags wordsAndFlags) outFlags {
	return outFlags{
		dir:    flags.String("outdir", "", "write the files into this `folder`, mode 0700"),
		tar:    flags.String("outtar", "", "write them as this tar `file`, mode 0600"),
		script: flags.String("outscript", "", "write this shell `script`, which writes them into the folder that it is given"),
		force:  flags.Bool("force", false, "make anew or write over what is there already"),
	}
}

func (o outFlags) given() int {
	n := 0
	for _, name := range []string{*o.dir, *o.tar, *o.script} {
		if name != "" {
			n++
		}
	}
	return n
}

// check refuses before anything is made what write would refuse after it.
func (o outFlags) check() error {
	if o.given() > 1 {
		return usagef("--outdir, --outtar and --outscript: one of them is enough")
	}
	if *o.force {
		return nil
	}
	for _, name := range []string{*o.tar, *o.script} {
		if _, err := os.Lstat(name); name != "" && !errors.Is(err, fs.ErrNotExist) {
			return step.WithHint(fmt.Errorf("%s is there already", name), "--force writes over it")
		}
	}
	if entries, err := os.ReadDir(*o.dir); *o.dir != "" && (err != nil && !errors.Is(err, fs.ErrNotExist) || len(entries) > 0) {
		return step.WithHint(errors.Join(err, fmt.Errorf("%s is not an empty folder", *o.dir)), "--force writes into it")
	}
	return nil
}

func (o outFlags) write(e env, r node.Record) error {
	var err error
	name := firstOf(*o.dir, *o.tar, *o.script)
	switch name {
	case "":
		return nil
	case *o.dir:
		err = r.WriteDir(name, *o.force)
	case *o.tar:
		var content, errTar = r.Tar()
		err = errors.Join(errTar, node.WriteFile(name, content, *o.force))
	default:
		err = node.WriteFile(name, r.Script(), *o.force)
	}
	if err == nil {
		fmt.Fprintf(e.stderr, "%s has the secrets of %s: delete it when they are on the node\n", name, r.Name)
	}
	return err
}

func nodeSave() command {
	return command{
		name: "save", args: "NAME --outdir D | --outtar F | --outscript F [--force]",
		short:   "write a node's secrets out of the store",
		example: "tk node save web1 --outdir web1",
	}.with("node", saveNode)
}

func saveNode(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
Writes the files of the node's psyops-secret volume, for its owner alone. The
script is for a machine of which one has nothing but a terminal: paste it, and
run it with the folder where the volume is mounted.
`+storeHelp)
	store, out := addStoreFlags(flags), addOutFlags(flags)
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	if out.given() == 0 {
		return usagef("where to: --outdir, --outtar or --outscript")
	}
	if err := out.check(); err != nil {
		return err
	}
	record, err := storedNode(ctx, e, store, words[0])
	if err != nil {
		return err
	}
	return out.write(e, record)
}

// storedNode is a node of the store that is no mere peer.
func storedNode(ctx context.Context, e env, store storeFlags, name string) (node.Record, error) {
	registry, err := store.open(e)
	if err != nil {
		return node.Record{}, err
	}
	record, err := registry.Node(ctx, name)
	if err == nil && !record.IsNode() {
		err = step.WithHint(fmt.Errorf("%s is a peer of the psynet and no node: it has a certificate alone", name), "`tk psynet get %s` prints it", name)
	}
	return record, err
}

func nodeDelete() command {
	return command{
		name: "delete", args: "NAME --yes",
		short:   "forget a node: its secrets cannot be brought back",
		example: "tk node delete web1 --yes",
	}.with("node", deleteNode)
}

func deleteNode(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
The node's psynet certificate stays good until it ends. Its fingerprint is
printed: in the blocklist of Nebula's configuration (pki.blocklist) it is good
no longer.
`+storeHelp)
	store := addStoreFlags(flags)
	yes := flags.Bool("yes", false, "yes, forget it")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	record, err := registry.Node(ctx, words[0])
	if err != nil {
		return err
	}
	if !*yes {
		return step.WithHint(fmt.Errorf("%s would be forgotten, and its keys with it", words[0]), "say --yes; `tk node save` writes them out first")
	}
	if err := registry.Delete(ctx, words[0]); err != nil {
		return err
	}
	public, err := record.Public()
	if err != nil {
		fmt.Fprintf(e.stderr, "deleted, though it could not be read in full: %v\n", err)
		return nil
	}
	fmt.Fprintf(e.stdout, "%s is deleted; its psynet certificate %s is good until %s\n", words[0], public.Psy.Fingerprint, public.Psy.Expires.Format("2006-01-02"))
	return nil
}
