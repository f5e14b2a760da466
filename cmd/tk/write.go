package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"psyopsOS/image/disk"
	"psyopsOS/step"
)

func writeCommand() command {
	return command{
		name: "write", args: "DEVICE [--image F | --node NAME] [--yes-overwrite DEVICE]",
		short:   "write a disk image to a disk, read it back, and give it GUIDs of its own",
		example: "tk write /dev/sdb --node web1",
	}.does(writeDisk)
}

const writeHelp = `
Everything on DEVICE is lost. What it is (model, serial number, size) is shown,
and DEVICE must be typed once more, or given once more with --yes-overwrite. A
partition, a disk that is mounted, swapped to or in use otherwise, the disk that
this machine runs from, and one that is too small are refused.

What is written is read back past every cache. The partition table comes last,
with GUIDs of its own: two disks of one image in one machine are not taken for
each other, and what was broken off is an empty disk. Holes of the image are
made zero by the disk's own means where it has them.

The image is --image, or the one that is built for --node (as by tk node image;
it is deleted afterwards), or the last that tk mkimage made.`

func writeDisk(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, writeHelp+"\n"+storeHelp)
	store := addStoreFlags(flags)
	p := newProject()
	image := flags.String("image", "", "the image `file`; default: what tk mkimage made")
	name := flags.String("node", "", "build the image of this `NODE` of the store")
	confirmed := flags.String("yes-overwrite", "", "DEVICE once more: do not ask")
	p.addFlags(flags)
	tell := flags.telling()
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	if *image != "" && *name != "" {
		return usagef("--image and --node are two images")
	}
	if *confirmed != "" && *confirmed != words[0] {
		return usagef("--yes-overwrite %s, but the disk is %s", *confirmed, words[0])
	}
	medium, err := disk.LookAt("/", words[0])
	if err != nil {
		return err
	}
	// What can be refused is, before a long build and before anybody is asked.
	if err := medium.Refuse(0); err != nil {
		return err
	}
	if *name == "" {
		if *image == "" {
			if err := p.take(p.image); err != nil {
				return err
			}
			*image = filepath.Join(p.out, p.imageName())
		}
		return burn(ctx, e, tell, *image, medium, *confirmed)
	}
	dir, err := os.MkdirTemp("", "psyopsOS-write-") // 0700: the image holds the node's keys
	if err != nil {
		return err
	}
	*image = filepath.Join(dir, *name+".img")
	err = p.buildNode(ctx, e, tell, store, *name, *image)
	if err == nil {
		err = burn(ctx, e, tell, *image, medium, *confirmed)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// burn asks, and writes.
func burn(ctx context.Context, e env, tell *telling, image string, medium disk.Medium, confirmed string) error {
	size, err := disk.OpenImage(image)
	if errors.Is(err, os.ErrNotExist) {
		err = step.WithHint(err, "`tk mkimage diskimg` makes it, --image names another one")
	}
	if err != nil {
		return err
	}
	if err := medium.Refuse(size); err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "%s\n", medium)
	if confirmed == "" {
		if err := confirm(e, medium.Path); err != nil {
			return err
		}
	}
	runner, done := tell.runner(e)
	defer done()
	b := &disk.Burn{Image: image, Medium: medium, Random: rand.Reader}
	err = runner.Run(ctx, b.Steps()...)
	return errors.Join(err, b.Close())
}

// confirm has the person type the disk's name, who must be there.
func confirm(e env, path string) error {
	if f, ok := e.stdin.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return step.WithHint(errors.New("nobody is there to say that it is the right disk"), "--yes-overwrite %s says so", path)
	}
	fmt.Fprintf(e.stderr, "All that is on it will be lost. Type its name to write: ")
	line, err := bufio.NewReader(e.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != path {
		return fmt.Errorf("%q is not %s: nothing was written", strings.TrimSpace(line), path)
	}
	return nil
}
