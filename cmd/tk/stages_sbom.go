package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/sbom"
	"psyopsOS/image/stage"
	"psyopsOS/release"
)

const sbomStage = "sbom"

// sbomName is the bill of materials beside a release's tar.
func sbomName(tar string) string { return strings.TrimSuffix(tar, ".tar") + ".cdx.json" }

// osTarName is this build's release.
func (p project) osTarName() string {
	return release.Name{Kind: release.OS, Platform: "x86_64", Version: p.source.version()}.String()
}

// sbom writes what the release is made of.
func (p project) sbom() stage.Stage {
	tar, squashfs, kernel, ostar := p.osTarName(), p.named(squashStage), p.named(kernelStage), p.named(ostarStage)
	return stage.Stage{Name: p.named(sbomStage), Recipe: "1",
		Inputs: []stage.Input{stage.From(squashfs, image.PartsFile), stage.From(kernel, image.PartsFile), stage.From(ostar, tar),
			stage.From(initStage), stage.From(commandsStage), stage.Value("version", p.source.version())},
		Run: func(_ context.Context, w *stage.Work) error {
			r := sbom.Release{File: tar, Version: p.source.version(), Time: p.source.Time}
			var err error
			if r.Userland, err = image.ReadParts(w.Path(squashfs, image.PartsFile)); err != nil {
				return err
			}
			if r.Kernel, err = image.ReadParts(w.Path(kernel, image.PartsFile)); err != nil {
				return err
			}
			if r.SHA256, err = fileSHA256(w.Path(ostar, tar)); err != nil {
				return err
			}
			if r.Programs, err = ourPrograms(w); err != nil {
				return err
			}
			w.Note("%s: %d packages of the userland, %d of the kernel, %d programs of ours", sbomName(tar), len(r.Userland.Packages), len(r.Kernel.Packages), len(r.Programs))
			f, err := os.Create(filepath.Join(w.Dir, sbomName(tar)))
			if err != nil {
				return err
			}
			return errors.Join(sbom.Write(f, r), f.Close())
		}}
}

// ourPrograms are those that this build has compiled.
func ourPrograms(w *stage.Work) ([]sbom.Program, error) {
	init, err := os.ReadFile(w.Path(initStage, "init"))
	if err != nil {
		return nil, err
	}
	commands, err := image.CommandsProgram(w.Path(commandsStage, commandsName))
	if err != nil {
		return nil, err
	}
	var programs []sbom.Program
	for name, content := range map[string][]byte{"init": init, "commands": commands} { // the bill is sorted
		p, err := sbom.ReadProgram(name, content)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	return programs, nil
}

func fileSHA256(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, f.Close())
}
