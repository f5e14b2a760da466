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
	"psyopsOS/layout"
)

const sbomStage = "sbom"

// sbomName is the bill of materials beside a release's tar.
func sbomName(tar string) string { return strings.TrimSuffix(tar, ".tar") + ".cdx.json" }

// sbom writes what the release is made of.
func (p project) sbom() stage.Stage {
	tar, ostar := p.osTarName(), p.named(ostarStage)
	inputs := []stage.Input{stage.From(ostar, tar), stage.Value("version", p.source.version())}
	if p.own(layout.Squashfs) {
		inputs = append(inputs, stage.From(p.named(squashStage), image.PartsFile))
	}
	if p.ownKernel() {
		inputs = append(inputs, stage.From(p.named(kernelStage), image.PartsFile))
	}
	if p.ownInit() {
		inputs = append(inputs, stage.From(initStage))
	}
	if p.own(layout.Initramfs) {
		inputs = append(inputs, stage.From(commandsStage))
	}
	return stage.Stage{Name: p.named(sbomStage), Recipe: "1", Inputs: inputs,
		Run: func(_ context.Context, w *stage.Work) error {
			r := sbom.Release{File: tar, Version: p.source.version(), Time: p.source.Time}
			var errs [5]error
			r.Userland, errs[0] = p.userlandParts(w)
			r.Kernel, errs[1] = p.kernelParts(w)
			r.SHA256, errs[2] = fileSHA256(w.Path(ostar, tar))
			r.Programs, errs[3] = p.ourPrograms(w)
			r.Replaced, errs[4] = p.replacedFiles()
			if err := errors.Join(errs[:]...); err != nil {
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

// ourPrograms are those of the release that this build has compiled.
func (p project) ourPrograms(w *stage.Work) ([]sbom.Program, error) {
	contents := map[string][]byte{}
	var err error
	if p.ownInit() {
		if contents["init"], err = os.ReadFile(w.Path(initStage, "init")); err != nil {
			return nil, err
		}
	}
	if p.own(layout.Initramfs) {
		if contents["commands"], err = image.CommandsProgram(w.Path(commandsStage, commandsName)); err != nil {
			return nil, err
		}
	}
	var programs []sbom.Program
	for name, content := range contents { // the bill is sorted
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
