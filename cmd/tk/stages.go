package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/image"
	"psyopsOS/image/base"
	"psyopsOS/image/debian"
	"psyopsOS/image/disk"
	"psyopsOS/image/loader"
	"psyopsOS/image/stage"
	"psyopsOS/image/tree"
	"psyopsOS/layout"
	"psyopsOS/node"
	"psyopsOS/release"
)

// The stages of a build, and the files of theirs that others read.
const (
	initStage     = "init"
	commandsStage = "commands"
	kernelStage   = "kernel"
	squashStage   = "squashfs"
	initrdStage   = "initramfs"
	ostarStage    = "ostar"
	efisysStage   = "efisystar"
	ostarDDStage  = "ostar-dd"
	efisysDDStage = "efisystar-dd"
	sectarStage   = "sectar"
	diskStage     = "diskimg"

	commandsName = "commands.cpio"
	sectarName   = "psyops-secret.tar"
)

// A project is one build: what goes in, and where it comes out.
type project struct {
	root     string // the source of psyopsOS
	out      string
	source   source
	userland userland
	kernel   kernelSource
	firmware []firmwareSource
	alpine   *alpineSite // nil where nothing is of Alpine

	overlays    []string // folders
	services    []image.Service
	compression image.Compression
	replaced    map[string]string // member of the release → the file that takes its place

	secrets string // a node's folder; empty for the demo node
	sizes   map[layout.Label]int64
	append  string // words for the kernel, in the menu's settings
	key     keyPair
	trusted []keyPair // by images; those that sign first
	// secretKeys asks for passwords when the first stage signs something.
	secretKeys func() ([]release.SecretKey, error)
	packages   debian.Apt
	deaddrop   string // the folder of releases

	// What flags and settings say of some of the above.
	image     imageSettings
	sizeWords []string
	signing   signingSettings
}

func newProject() *project { return &project{sizes: map[layout.Label]int64{}} }

// addFlags adds the flags of everything that builds.
func (p *project) addFlags(flags wordsAndFlags) {
	flags.text(&p.root, "build.source")
	flags.text(&p.out, "build.out")
	p.image.addFlags(flags)
	flags.text(&p.append, "build.append")
	flags.list(&p.sizeWords, "build.size")
	p.signing.addFlags(flags)
}

// graph is the build as stages.
func (p project) graph() (*stage.Graph, error) {
	return stage.New(filepath.Join(p.out, "stages"), 0,
		p.initBinary(), p.commands(), p.kernelAndModules(), p.squashfs(), p.initramfs(),
		p.ostar(), p.sbom(), p.ostarDD(), p.efisystar(), p.efisystarDD(), p.sectar(), p.diskimg())
}

// named is a stage's name. The stages that depend on userland or kernel have
// one for each, so that trying another one does not throw the first away.
func (p project) named(stage string) string {
	switch stage {
	case kernelStage, initrdStage:
		return variant(stage, p.kernel.id())
	case squashStage:
		return variant(stage, p.userland.id())
	case ostarStage, sbomStage, ostarDDStage, diskStage:
		return variant(stage, p.userland.id(), p.kernel.id())
	}
	return stage
}

// variant is name with the ids behind it that are not empty.
func variant(name string, ids ...string) string {
	for _, id := range ids {
		if id != "" {
			name += "-" + id
		}
	}
	return name
}

// imageName is the disk image's.
func (p project) imageName() string {
	return variant("psyopsOS", p.userland.id(), p.kernel.id()) + ".img"
}

// initSources are the folders whose code is in PID 1.
func initSources() []string {
	return []string{"init", "boot", "bootstate", "efi", "layout", "mounts", "netif", "release", "repo", "secret", "step", "trial", "upgrade"}
}

// goFiles are the sources below dir, without tests.
func goFiles(dir string) []stage.Input {
	var inputs []stage.Input
	// A folder that cannot be read has no sources; go build will say so.
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test")):
			return fs.SkipDir
		case filepath.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			inputs = append(inputs, stage.File(name))
		}
		return nil
	})
	return inputs
}

func (p project) commit() string {
	if p.source.Dirty {
		return p.source.Revision + "-dirty"
	}
	return p.source.Revision
}

func (p project) initBinary() stage.Stage {
	inputs := []stage.Input{stage.Tool("go"), stage.File(p.path("go.mod")), stage.File(p.path("go.sum")), stage.Value("commit", p.commit())}
	for _, dir := range initSources() {
		inputs = append(inputs, goFiles(p.path(dir))...)
	}
	return stage.Stage{Name: initStage, Recipe: "1", Inputs: inputs, Run: func(ctx context.Context, w *stage.Work) error {
		return image.BuildInit(ctx, p.root, p.commit(), filepath.Join(w.Dir, "init"))
	}}
}

func (p project) commands() stage.Stage {
	return stage.Stage{Name: commandsStage, Recipe: "1",
		Inputs: []stage.Input{stage.Tool("go"), stage.Folder(p.path(image.CommandsDir))},
		Run: func(ctx context.Context, w *stage.Work) error {
			return image.UrootCommands(ctx, p.root, filepath.Join(w.Dir, commandsName))
		}}
}

func (p project) kernelAndModules() stage.Stage {
	inputs := append(p.kernel.inputs(), stage.Tool("depmod"), stage.Tool("mksquashfs"), stage.Value("compression", fmt.Sprint(p.compression)))
	for _, source := range p.firmware {
		inputs = append(inputs, source.inputs()...)
	}
	return stage.Stage{Name: p.named(kernelStage), Recipe: "4", Inputs: inputs,
		Run: func(ctx context.Context, w *stage.Work) error {
			return withSpool(func(spool *os.File) error { return p.makeKernel(ctx, w, spool) })
		}}
}

func (p project) makeKernel(ctx context.Context, w *stage.Work, spool *os.File) error {
	files, packages, err := p.kernel.files(ctx, w, spool)
	if err != nil {
		return err
	}
	k, err := image.ReadKernel(ctx, files)
	if err != nil {
		return err
	}
	w.Note("kernel %s", k.Version)
	if err := k.Write(w.Dir); err != nil {
		return err
	}
	firmware, more, err := p.addFirmware(ctx, w, k, spool)
	if err != nil {
		return err
	}
	if err := (image.Parts{Name: k.Version, Packages: append(packages, more...)}).Write(filepath.Join(w.Dir, image.PartsFile)); err != nil {
		return err
	}
	return image.Modloop(ctx, k, image.ModloopOptions{Firmware: firmware, Time: time.Unix(0, 0), Compression: p.compression, Out: filepath.Join(w.Dir, layout.Modloop)})
}

// withSpool gives do a file for contents that are too large for memory.
func withSpool(do func(spool *os.File) error) error {
	spool, err := os.CreateTemp("", "psyopsOS-spool-")
	if err != nil {
		return err
	}
	return errors.Join(do(spool), spool.Close(), os.Remove(spool.Name()))
}

func (p project) squashfs() stage.Stage {
	inputs := append(p.userland.inputs(), p.keyInputs()...)
	inputs = append(inputs, stage.Tool("mksquashfs"), stage.From(initStage, "init"),
		stage.Value("version", p.source.version()), stage.Folder(p.path("image/base/overlay")),
		stage.Value("compression", fmt.Sprint(p.compression)), stage.Value("services", fmt.Sprint(p.services)), stage.Value("init", p.initWord()))
	for _, dir := range p.overlays {
		inputs = append(inputs, stage.Folder(dir))
	}
	return stage.Stage{Name: p.named(squashStage), Recipe: "3", Inputs: inputs,
		Run: func(ctx context.Context, w *stage.Work) error {
			return withSpool(func(spool *os.File) error { return p.makeSquashfs(ctx, w, spool) })
		}}
}

func (p project) makeSquashfs(ctx context.Context, w *stage.Work, spool *os.File) error {
	u, err := p.buildUserland(ctx, w, spool)
	if err != nil {
		return err
	}
	overlays, err := p.baseFor(w, u, func() ([]*tree.Tree, error) {
		ours, err := base.Overlay()
		return []*tree.Tree{ours}, err
	})
	if err != nil {
		return err
	}
	for _, dir := range p.overlays {
		over, err := image.Overlay(os.DirFS(dir), u.Tree)
		if err != nil {
			return fmt.Errorf("overlay %s: %w", dir, err)
		}
		overlays = append(overlays, over)
	}
	if err := p.checkInit(u.Tree, overlays); err != nil {
		return err
	}
	iso, err := p.source.isoJSON()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.Dir, layout.UserlandVersion), []byte(release.UserlandWord(u.Name)+"\n"), 0o644); err != nil {
		return err
	}
	if err := (image.Parts{Name: u.Name, Packages: u.Packages}).Write(filepath.Join(w.Dir, image.PartsFile)); err != nil {
		return err
	}
	return image.Squashfs(ctx, image.SquashfsOptions{Userland: u.Tree, Overlays: overlays, Services: p.services, Compression: p.compression, IsoJSON: iso,
		PublicKey: p.key.public.Text(), Keys: p.keys(), Upgrade: w.Path(initStage, "init"),
		Time: p.source.Time, Out: filepath.Join(w.Dir, layout.Squashfs)})
}

func (p project) initramfs() stage.Stage {
	list := p.path("u-root-config/modules")
	return stage.Stage{Name: p.named(initrdStage), Recipe: "2",
		Inputs: append(p.keyInputs(), stage.Tool("depmod"), stage.Tool("zstd"), stage.From(initStage), stage.From(commandsStage),
			stage.From(p.named(kernelStage), image.ModulesArchive), stage.File(list)),
		Run: func(ctx context.Context, w *stage.Work) error {
			text, err := os.ReadFile(list)
			if err != nil {
				return err
			}
			names, err := image.ParseModuleList(text)
			if err != nil {
				return fmt.Errorf("%s: %w", list, err)
			}
			k, err := image.OpenKernel(w.Path(p.named(kernelStage)))
			if err != nil {
				return err
			}
			modules, absent, err := image.InitramfsModules(ctx, k, names)
			if err != nil {
				return err
			}
			if err := image.AddModloopTables(modules, k); err != nil {
				return err
			}
			if len(absent) > 0 {
				w.Note("kernel %s has no %v", k.Version, absent)
			}
			return image.Initramfs(ctx, image.InitramfsOptions{Init: w.Path(initStage, "init"), PublicKey: p.key.public.Text(), Keys: p.keys(),
				Modules: modules.FS(), Commands: w.Path(commandsStage, commandsName), Out: filepath.Join(w.Dir, layout.Initramfs)})
		}}
}

func (p project) ostar() stage.Stage {
	return stage.Stage{Name: p.named(ostarStage), Recipe: "1",
		Inputs: append(append(p.keyInputs(), p.memberInputs()...), stage.Value("version", p.source.version())),
		Run: func(ctx context.Context, w *stage.Work) error {
			members, kernel, userland, err := p.members(w)
			if err != nil {
				return err
			}
			keys, err := p.secretKeys()
			if err != nil {
				return err
			}
			_, err = image.OSTar(ctx, image.OSTarOptions{Members: members, Version: p.source.version(), Architecture: "x86_64",
				Kernel: kernel, Userland: userland, Key: keys[0], Cosigners: keys[1:], Now: time.Now(), Dir: w.Dir}, w.Progress)
			return err
		}}
}

func (p project) efisystar() stage.Stage {
	programs := image.EFIPrograms(os.DirFS("/"), "/")
	inputs := append(p.keyInputs(), stage.Tool("grub-mkimage"), stage.Folder(p.path("image/loader/script")),
		stage.File(filepath.Join(loader.DefaultModules, "moddep.lst")), stage.Value("version", p.source.version()))
	for _, program := range programs {
		inputs = append(inputs, stage.File(program.Source))
	}
	return stage.Stage{Name: efisysStage, Recipe: "1", Inputs: inputs, Run: func(ctx context.Context, w *stage.Work) error {
		grub, err := loader.Build(ctx, loader.Options{Version: p.source.version(), Time: p.source.Time})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(w.Dir, filepath.Base(layout.Loader)), grub, 0o644); err != nil {
			return err
		}
		keys, err := p.secretKeys()
		if err != nil {
			return err
		}
		_, err = image.EFISysTar(ctx, image.EFISysTarOptions{Files: []disk.File{{Path: layout.Loader, Data: grub}}, Programs: programs,
			Version: p.source.version(), Key: keys[0], Cosigners: keys[1:], Now: time.Now(), Dir: w.Dir}, w.Progress)
		return err
	}}
}

func (p project) sectar() stage.Stage {
	dir := firstOf(p.secrets, p.demoNode())
	return stage.Stage{Name: sectarStage, Recipe: "1", Inputs: []stage.Input{stage.Folder(dir)},
		Run: func(ctx context.Context, w *stage.Work) error {
			return image.SecTar(ctx, dir, filepath.Join(w.Dir, sectarName), time.Unix(0, 0))
		}}
}

func (p project) diskimg() stage.Stage {
	return stage.Stage{Name: p.named(diskStage), Recipe: "2",
		Inputs: []stage.Input{stage.Tool("mke2fs"), stage.Tool("mkfs.fat"), stage.Tool("mcopy"), stage.From(p.named(ostarStage)), stage.From(efisysStage), stage.From(sectarStage),
			stage.Value("version", p.source.version()), stage.Value("sizes", fmt.Sprint(p.sizes)), stage.Value("append", p.append)},
		Run: func(ctx context.Context, w *stage.Work) error {
			secrets, err := image.ReadSecTar(w.Path(sectarStage, sectarName))
			if err != nil {
				return err
			}
			return p.makeDisk(ctx, w.Path, secrets, filepath.Join(w.Dir, p.imageName()), w.Progress)
		}}
}

// makeDisk writes a disk image of what the stages made, with a node's secrets.
// path is where a stage's files are.
func (p project) makeDisk(ctx context.Context, path func(stage string, elem ...string) string, secrets []disk.File, out string, progress disk.Progress) error {
	grub, err := os.ReadFile(path(efisysStage, filepath.Base(layout.Loader)))
	if err != nil {
		return err
	}
	programs := image.EFIPrograms(os.DirFS("/"), "/")
	extra, err := image.ProgramFiles(programs)
	if err != nil {
		return err
	}
	signatures, err := filepath.Glob(path(efisysStage, release.Name{Kind: release.ESP, Platform: release.UEFI, Version: p.source.version()}.String()+".minisig*"))
	if err != nil {
		return err
	}
	for _, name := range signatures {
		_, suffix, _ := strings.Cut(filepath.Base(name), ".tar.minisig")
		extra = append(extra, disk.File{Path: layout.ESPTarSignature + suffix, Source: name})
	}
	menu := bootstate.Menu{Timeout: bootstate.DefaultTimeout, Append: p.append}
	for _, program := range programs {
		menu.Programs = append(menu.Programs, bootstate.Program{Path: "/" + program.Name, Title: program.Title})
	}
	state, tries := bootstate.Initial(p.source.version(), p.source.Time)
	first, second, err := loader.Disk{Loader: grub, State: state, Tries: tries, Menu: menu, Programs: extra}.Files()
	if err != nil {
		return err
	}
	keys, err := image.InitramfsKeys(p.member(path, layout.Initramfs))
	if err != nil {
		return err
	}
	tar := path(p.named(ostarStage), p.osTarName())
	return image.DiskImage(ctx, image.DiskImageOptions{OSTar: tar, Keys: keys, ESP1: first, ESP2: second, Secrets: secrets,
		Sizes: p.sizes, Scratch: p.out, Out: out}, progress)
}

// osTarName is this build's release.
func (p project) osTarName() string {
	return release.Name{Kind: release.OS, Platform: "x86_64", Version: p.source.version()}.String()
}

func (p project) path(elem ...string) string {
	return filepath.Join(append([]string{p.root}, elem...)...)
}

// makeDemo makes the demo node's secrets where no node was named.
func (p project) makeDemo(random interface{ Read([]byte) (int, error) }) error {
	if p.secrets != "" {
		return nil
	}
	return node.Demo(p.demoNode(), random)
}

func (p project) demoNode() string { return filepath.Join(p.out, "demo-node") }
