package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"psyopsOS/image/debian"
	"psyopsOS/layout"
	"psyopsOS/step"
)

func mkimageCommand() command {
	return command{
		name: "mkimage", args: "[STAGE…] [--list-stages] [--why STAGE] [--userland U] [--kernel K] [--node-secrets NODE|FOLDER] [--out DIR]",
		short:   "build a disk image, or the stages named; what has not changed is not built again",
		example: "tk mkimage diskimg --kernel generic",
		run:     mkimage,
	}
}

func mkimage(ctx context.Context, e env, args []string) error {
	flags := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	flags.SetOutput(e.stderr)
	p := project{sizes: map[layout.Label]int64{}}
	list := flags.Bool("list-stages", false, "list the stages, each after those that it needs")
	why := flags.String("why", "", "say which input makes this `stage` run")
	asJSON := flags.Bool("json", false, "tell events as lines of JSON")
	verbose := flags.Bool("verbose", false, "tell every event")
	flags.StringVar(&p.out, "out", "artifacts", "the folder for everything that is built")
	var settings imageSettings
	settings.addFlags(flags)
	flags.StringVar(&p.secrets, "node-secrets", "", "a `NODE` of the store (tk node list), or a folder with a node's secrets; without it the demo node's are made")
	flags.StringVar(&p.append, "append", "", "more words for the kernel, in the boot loader's settings")
	store := addStoreFlags(flags)
	flags.Func("size", "a volume's size as `LABEL=MiB`, e.g. psyopsOS-A=512", p.setSize)
	targets, err := parseMixed(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return usageError{err}
	}
	if err := p.take(settings); err != nil {
		return err
	}
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if err := p.takeNode(ctx, e, store); err != nil {
		return err
	}
	graph, err := p.graph()
	if err != nil {
		return err
	}
	switch {
	case *list:
		fmt.Fprintln(e.stdout, strings.Join(graph.Names(), "\n"))
		return nil
	case *why != "":
		reasons, err := graph.Why(ctx, p.named(*why))
		if err == nil {
			fmt.Fprintln(e.stdout, reasons)
		}
		return err
	}
	if len(targets) == 0 {
		targets = []string{diskStage}
	}
	for i := range targets {
		targets[i] = p.named(targets[i])
	}
	start := time.Now()
	runner := &step.Runner{Sink: buildSink(e.stderr, *asJSON, *verbose), Now: func() time.Duration { return time.Since(start) }}
	if err := p.lockPackages(ctx, runner); err != nil {
		return err
	}
	if _, err := graph.Build(ctx, runner, targets...); err != nil {
		return err
	}
	return p.publish(graph.Path(p.named(diskStage), p.imageName()))
}

// parseMixed parses flags wherever they stand, and gives the other words.
func parseMixed(flags *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return words, nil
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func (p *project) setSize(text string) error {
	label, mib, _ := strings.Cut(text, "=")
	n, err := strconv.ParseInt(mib, 10, 64)
	if err != nil || n <= 0 {
		return fmt.Errorf("want LABEL=MiB, e.g. psyopsOS-A=512")
	}
	for _, v := range layout.Volumes() {
		if string(v.Label) == label {
			p.sizes[v.Label] = n << 20
			return nil
		}
	}
	return fmt.Errorf("no volume is labelled %s", label)
}

// prepare finds or makes what the stages start from.
func (p *project) prepare(ctx context.Context) (err error) {
	if p.root, err = findRoot(); err != nil {
		return err
	}
	if p.out, err = filepath.Abs(p.out); err != nil {
		return err
	}
	if p.source, err = readSource(ctx, p.root, p.out, time.Now()); err != nil {
		return err
	}
	if p.key, err = developmentKey(filepath.Join(p.out, "keys")); err != nil {
		return err
	}
	cache, err := debian.DefaultCache()
	if err != nil {
		return err
	}
	p.packages = debian.New(cache)
	return p.makeDemo(rand.Reader)
}

// findRoot is the folder of psyopsOS's source, upwards from the working folder.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		text, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module psyopsOS\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", step.WithHint(fmt.Errorf("no source of psyopsOS in %s or above", dir), "run tk in a checkout of psyopsOS")
		}
	}
}

// publish gives the disk image its place at the top of the output folder.
func (p project) publish(image string) error {
	link := filepath.Join(p.out, filepath.Base(image))
	target, err := filepath.Rel(p.out, image)
	if err != nil {
		return err
	}
	if _, err := os.Stat(image); errors.Is(err, fs.ErrNotExist) {
		return nil // not built this time
	}
	if now, err := os.Readlink(link); err == nil && now == target {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}

func buildSink(w io.Writer, asJSON, verbose bool) step.Sink {
	if asJSON {
		return step.JSONLines(w)
	}
	show := step.Normal
	if verbose {
		show = step.Verbose
	}
	return step.Lines(w, "", show)
}
