package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"psyopsOS/image/disk"
	"psyopsOS/node"
	"psyopsOS/step"
)

func nodeImage() command {
	return command{
		name: "image", args: "NAME [--outimg F] [--userland U] [--kernel K] [--size LABEL=MiB] [--out DIR] [--force]",
		short:   "build a bootable disk for a node",
		example: "tk node image web1 --kernel generic",
	}.with("node", buildNodeImage)
}

func buildNodeImage(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
What `+"`tk mkimage diskimg`"+` makes, with the node's secrets from the store and
with GUIDs of the disk's own, so that two nodes' disks in one machine are not
taken for each other. The image has mode 0600: it holds the node's keys.
Runs in a checkout of psyopsOS; what has not changed is not built again.
`+storeHelp)
	store := addStoreFlags(flags)
	p := newProject()
	target := flags.String("outimg", "", "the image `file`; default: NAME.img")
	force := flags.Bool("force", false, "write over an image that is there")
	p.addFlags(flags)
	tell := flags.telling()
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	record, err := storedNode(ctx, e, store, words[0])
	if err != nil {
		return err
	}
	name := firstOf(*target, words[0]+".img")
	if _, err := os.Lstat(name); err == nil && !*force {
		return step.WithHint(fmt.Errorf("%s is there already", name), "--force writes over it")
	}
	return p.buildDiskOf(ctx, e, tell, record, name)
}

// buildNode is buildDiskOf for a node of the store.
func (p *project) buildNode(ctx context.Context, e env, tell *telling, store storeFlags, of, name string) error {
	record, err := storedNode(ctx, e, store, of)
	if err != nil {
		return err
	}
	return p.buildDiskOf(ctx, e, tell, record, name)
}

// buildDiskOf builds what is not built yet, and of it the node's disk image.
func (p *project) buildDiskOf(ctx context.Context, e env, tell *telling, record node.Record, name string) error {
	if err := p.prepare(ctx, e); err != nil {
		return err
	}
	graph, err := p.graph()
	if err != nil {
		return err
	}
	runner, done := tell.runner(e)
	defer done()
	if err := p.lockPackages(ctx, runner); err != nil {
		return err
	}
	if _, err := graph.Build(ctx, runner, p.named(ostarStage), efisysStage); err != nil {
		return err
	}
	return runner.Run(ctx, step.Step{Name: "disk of " + record.Name, Do: func(ctx context.Context, r *step.Reporter) error {
		return p.nodeDisk(ctx, graph.Path, record, name, r.Progress)
	}})
}

// nodeDisk makes the image in one go. It grows in a folder that only its owner
// may enter, beside its place.
func (p project) nodeDisk(ctx context.Context, path func(string, ...string) string, record node.Record, name string, progress disk.Progress) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(name), ".disk-") // 0700
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	image := filepath.Join(dir, "image")
	if err := p.makeDisk(ctx, path, secretFiles(record), image, progress); err != nil {
		return err
	}
	if err := errors.Join(disk.Regenerate(image, rand.Reader), os.Chmod(image, 0o600)); err != nil {
		return err
	}
	return os.Rename(image, name)
}

// takeNode makes a folder of the node that --node-secrets names, where it does
// not name a folder itself.
func (p *project) takeNode(ctx context.Context, e env, store storeFlags) error {
	if p.secrets == "" {
		return nil
	}
	info, err := os.Stat(p.secrets)
	if err == nil && info.IsDir() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := node.CheckName(p.secrets); err != nil {
		return step.WithHint(fmt.Errorf("--node-secrets %s is no folder: %w", p.secrets, err), "`tk node list` lists the nodes of the store")
	}
	record, err := storedNode(ctx, e, store, p.secrets)
	if err != nil {
		return fmt.Errorf("--node-secrets %s is no folder: %w", p.secrets, err)
	}
	dir := filepath.Join(p.out, "nodes", record.Name)
	if err := os.RemoveAll(dir); err != nil { // a file that the node has no longer
		return err
	}
	p.secrets = dir
	return record.WriteDir(dir, false)
}
