package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"psyopsOS/image/debian"
	"psyopsOS/image/stage"
	"psyopsOS/layout"
	"psyopsOS/step"
)

func mkimageCommand() command {
	return command{
		name: "mkimage", args: "[STAGE…] [--stages STAGES] [--list-stages] [--why STAGE] [--check-reproducible] [--userland U] [--kernel K] [--node-secrets NODE|FOLDER] [--replace MEMBER=FILE] [--out DIR] [--json|--verbose|--quiet]",
		short:   "build a disk image, or the stages named; what has not changed is not built again",
		example: "tk mkimage diskimg --kernel generic",
		words:   []string{kernelStage, squashStage, initrdStage, ostarStage, ostarDDStage, efisysStage, efisysDDStage, sectarStage, diskStage},
	}.does(mkimage)
}

func mkimage(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
Each stage is a folder below DIR/stages. A stage runs when what it is made of
has changed: files, package versions, settings, programs; --why names the input.
Stages that do not wait for one another run at the same time, each writes a log
to DIR/stages/.log, and one that is interrupted leaves nothing behind. Without a
STAGE it is diskimg; ostar-dd and efisystar-dd put the signed tars into the
local deaddrop (tk deaddrop push sends them on).
`+replaceAbout+"\n"+storeHelp)
	p := newProject()
	stages := flags.strings("stages", "build these `stages`, behind commas, and what they need; the same as naming them without a flag")
	list := flags.Bool("list-stages", false, "list the stages, each after those that it needs")
	why := flags.String("why", "", "say which input makes this `stage` run")
	reproducible := flags.Bool("check-reproducible", false, "build twice under other circumstances, and name the first file that differs")
	tell := flags.telling()
	p.addFlags(flags)
	flags.text(&p.secrets, "build.node-secrets")
	flags.text(&p.deaddrop, "deaddrop.dir")
	replace := flags.strings("replace", replaceHelp)
	store := addStoreFlags(flags)
	targets, err := flags.parse(e, args, 0, -1)
	if err != nil {
		return err
	}
	if p.replaced, err = takeReplacements(*replace); err != nil {
		return err
	}
	if err := p.prepare(ctx, e); err != nil {
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
		return p.listStages(e.stdout, graph, tell.json)
	case *why != "":
		return tellWhy(ctx, e.stdout, graph, p.named(*why), tell.json)
	}
	targets = wantedStages(targets, *stages)
	for i := range targets {
		targets[i] = p.named(targets[i])
	}
	if *reproducible {
		return p.checkReproducible(ctx, e, targets, append(without(args, "check-reproducible", "out", "source"), p.sameKey()...))
	}
	runner, done := tell.runner(e)
	defer done()
	if err := p.lockPackages(ctx, runner); err != nil {
		return err
	}
	if _, err := graph.Build(ctx, runner, targets...); err != nil {
		return err
	}
	return p.publish(graph.Path(p.named(diskStage), p.imageName()))
}

// wantedStages are those that words and --stages name, or the disk image where
// neither does. Beside --stages a lone diskimg says of what image they are the
// stages, and asks for no more.
func wantedStages(words, lists []string) []string {
	var stages []string
	for _, list := range lists {
		stages = append(stages, strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' })...)
	}
	switch {
	case len(stages) == 0 && len(words) == 0:
		return []string{diskStage}
	case len(stages) > 0 && slices.Equal(words, []string{diskStage}):
		return stages
	}
	return slices.Concat(words, stages)
}

// without are the arguments but for these flags.
func without(args []string, names ...string) (rest []string) {
	for i := 0; i < len(args); i++ {
		name, _, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if strings.HasPrefix(args[i], "-") && slices.Contains(names, name) {
			if !hasValue && name != "check-reproducible" {
				i++
			}
			continue
		}
		rest = append(rest, args[i])
	}
	return rest
}

// sameKey has another build sign with the same key, and use the same demo node.
func (p *project) sameKey() []string {
	secrets := firstOf(p.secrets, p.demoNode())
	key := firstOf(p.signing.key, filepath.Join(p.out, "keys", "development.key"))
	return []string{"--sign-key", key, "--node-secrets", secrets}
}

func (p project) listStages(w io.Writer, graph *stage.Graph, asJSON bool) error {
	if asJSON {
		return writeJSON(w, graph.Names())
	}
	_, err := fmt.Fprintln(w, strings.Join(graph.Names(), "\n"))
	return err
}

func tellWhy(ctx context.Context, w io.Writer, graph *stage.Graph, name string, asJSON bool) error {
	reasons, err := graph.Why(ctx, name)
	switch {
	case err != nil:
	case asJSON:
		err = writeJSON(w, reasons)
	default:
		_, err = fmt.Fprintln(w, reasons)
	}
	return err
}

// parseSize reads a volume's size, in bytes.
func parseSize(text string) (layout.Label, int64, error) {
	label, mib, _ := strings.Cut(text, "=")
	n, err := strconv.ParseInt(mib, 10, 64)
	if err != nil || n <= 0 || n > 1<<30 {
		return "", 0, fmt.Errorf("want LABEL=MiB, e.g. psyopsOS-A=512")
	}
	for _, v := range layout.Volumes() {
		if string(v.Label) == label {
			return v.Label, n << 20, nil
		}
	}
	return "", 0, fmt.Errorf("no volume is labelled %s", label)
}

// prepare finds or makes what the stages start from.
func (p *project) prepare(ctx context.Context, e env) (err error) {
	if err := p.take(p.image); err != nil {
		return err
	}
	for _, text := range p.sizeWords {
		label, size, err := parseSize(text)
		if err != nil {
			return usageError{err}
		}
		p.sizes[label] = size
	}
	if p.root, err = findRoot(p.root); err != nil {
		return err
	}
	if p.out, err = filepath.Abs(p.out); err != nil {
		return err
	}
	if p.deaddrop, err = filepath.Abs(p.deaddrop); err != nil {
		return err
	}
	if p.source, err = readSource(ctx, p.root, p.out, e.settings, time.Now()); err != nil {
		return err
	}
	if err := p.takeKeys(ctx, e); err != nil {
		return err
	}
	cache, err := debian.DefaultCache()
	if err != nil {
		return err
	}
	p.packages = debian.New(cache)
	return p.makeDemo(rand.Reader)
}

// findRoot is the folder of psyopsOS's source: the one that is set, or the
// first upwards from the working folder, or from tk itself, which a checkout
// has in artifacts/bin.
func findRoot(set string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	starts := []string{dir}
	if set != "" {
		starts = []string{set}
	} else if self, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(self))
	}
	for _, start := range starts {
		for at := start; ; at = filepath.Dir(at) {
			text, err := os.ReadFile(filepath.Join(at, "go.mod"))
			if err == nil && strings.HasPrefix(string(text), "module psyopsOS\n") {
				return filepath.Abs(at)
			}
			if at == filepath.Dir(at) || set != "" {
				break
			}
		}
	}
	if set != "" {
		return "", step.WithHint(fmt.Errorf("no source of psyopsOS in %s", set), "--source, PSYOPSOS_SOURCE or build.source in psyops.toml names a checkout")
	}
	return "", step.WithHint(fmt.Errorf("no source of psyopsOS in %s or above", dir), "run tk in a checkout of psyopsOS, or name one with --source")
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
