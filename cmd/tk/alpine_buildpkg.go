package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"psyopsOS/image/alpine"
	"psyopsOS/image/base"
	"psyopsOS/image/tree"
	"psyopsOS/layout"
	"psyopsOS/step"
)

func buildpkgCommand() command {
	return command{
		name: "buildpkg", args: "[--key KEY] [--packages DIR] [--out DIR]",
		short:   "make signed Alpine packages of neuralupgrade and psyopsOS-base, and their index",
		example: "tk buildpkg --key site.rsa --packages site/apks",
	}.does(buildPackages)
}

const buildpkgAbout = `
A repository that apk and ` + "`tk mkimage --userland alpine`" + ` read: DIR/x86_64 with
the packages and APKINDEX.tar.gz, both signed, and beside it the public key.
Their version is the release's as Alpine writes it, 20261121.101500-r0. The key
is an RSA key as abuild-keygen makes it; KEY.pub is what others trust. Without
--key one is made at the first use, in OUT/keys, for trying things out.
Runs in a checkout of psyopsOS.`

func buildPackages(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, buildpkgAbout)
	p := newProject()
	p.image = imageSettings{Userland: defaultUserland, Kernel: defaultKernel, Compression: "zstd"} // of which nothing is built
	keyFile := flags.String("key", "", "the secret RSA `key` to sign with")
	dir := flags.String("packages", "", "the `folder` for the packages; default: OUT/packages")
	flags.text(&p.root, "build.source")
	flags.text(&p.out, "build.out")
	tell := flags.telling()
	if _, err := flags.parse(e, args, 0, 0); err != nil {
		return err
	}
	if err := p.prepare(ctx, e); err != nil {
		return err
	}
	*dir = firstOf(*dir, filepath.Join(p.out, "packages"))
	signer, err := packageSigner(*keyFile, filepath.Join(p.out, "keys"))
	if err != nil {
		return err
	}
	graph, err := p.graph()
	if err != nil {
		return err
	}
	runner, done := tell.runner(e)
	defer done()
	if _, err := graph.Build(ctx, runner, initStage); err != nil {
		return err
	}
	return runner.Run(ctx, step.Step{Name: "packages", Do: func(_ context.Context, r *step.Reporter) error {
		packages, err := p.ourPackages(graph.Path(initStage, "init"))
		if err != nil {
			return err
		}
		index, err := alpine.WriteRepository(*dir, "psyopsOS "+p.source.version(), packages, signer)
		for _, pkg := range index {
			r.Note("%s", filepath.Join(*dir, pkg.Arch, pkg.File()))
		}
		return err
	}})
}

// ourPackages are what psyopsOS adds to a userland.
func (p project) ourPackages(program string) ([]alpine.Content, error) {
	about := alpine.Package{Version: packageVersion(p.source.version()), Arch: "x86_64", BuildTime: p.source.Time.Unix(),
		Origin: "psyopsOS", Commit: p.source.Revision}
	upgrade, overlay := about, about
	upgrade.Name, upgrade.Description = "neuralupgrade", "signed A/B updates of psyopsOS"
	overlay.Name, overlay.Description = "psyopsOS-base", "what psyopsOS adds to every userland: services and folders"
	var err error
	if overlay.Depends, err = alpine.ParseWorld([]byte("openrc neuralupgrade")); err != nil {
		return nil, err
	}
	binary, err := tree.FileOf(0o755, program)
	if err != nil {
		return nil, err
	}
	files := tree.New()
	if err := files.Add(strings.TrimPrefix(path.Clean(layout.UpgradeBin), "/"), binary); err != nil {
		return nil, err
	}
	ours, err := base.Overlay()
	return []alpine.Content{{Package: upgrade, Files: files}, {Package: overlay, Files: ours}}, err
}

// packageVersion is a release's version as Alpine writes versions.
func packageVersion(version string) string { return strings.Replace(version, "-", ".", 1) + "-r0" }

// packageSigner reads the key, or makes one for trying things out.
func packageSigner(name, keys string) (alpine.Signer, error) {
	if name == "" {
		name = filepath.Join(keys, "development-packages.rsa")
		if err := makePackageKey(name); err != nil {
			return alpine.Signer{}, err
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return alpine.Signer{}, step.WithHint(err, "`abuild-keygen -n` or `openssl genrsa 4096` makes a key")
	}
	key, err := alpine.ParsePrivateKey(text)
	if err != nil {
		return alpine.Signer{}, fmt.Errorf("key %s: %w", name, err)
	}
	return alpine.Signer{Name: filepath.Base(name) + ".pub", Key: key}, nil
}

// makePackageKey makes a key and its public half where there is none.
func makePackageKey(name string) error {
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := alpine.GenerateKey()
	if err != nil {
		return err
	}
	secret, err := alpine.RenderPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := alpine.RenderKey(&key.PublicKey)
	if err != nil {
		return err
	}
	// The secret half last: where it is, the public one is too.
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), writeWhole(name+".pub", public, 0o644)); err != nil {
		return err
	}
	return writeWhole(name, secret, 0o600)
}
