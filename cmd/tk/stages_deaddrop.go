package main

import (
	"context"
	"path/filepath"

	"psyopsOS/deaddrop"
	"psyopsOS/image/stage"
	"psyopsOS/release"
)

// The stages that publish into the local deaddrop. They run only where they
// are asked for, and again where what they published has changed or is gone.

func (p project) ostarDD() stage.Stage {
	return p.published(p.named(ostarDDStage), p.named(ostarStage), p.osTarName(), from{p.named(sbomStage), sbomName(p.osTarName())})
}

func (p project) efisystarDD() stage.Stage {
	return p.published(efisysDDStage, efisysStage, release.Name{Kind: release.ESP, Platform: release.UEFI, Version: p.source.version()}.String())
}

// A from is a file of another stage.
type from struct{ stage, file string }

func (p project) published(name, ostar, tar string, beside ...from) stage.Stage {
	inputs := append(p.keyInputs(), stage.From(ostar, tar, tar+".minisig"), stage.Value("deaddrop", p.deaddrop))
	for _, b := range beside {
		inputs = append(inputs, stage.From(b.stage, b.file))
	}
	return stage.Stage{Name: name, Recipe: "2", Inputs: inputs,
		Run: func(ctx context.Context, w *stage.Work) error {
			keys, err := p.trustedKeys()
			if err != nil {
				return err
			}
			folder, err := deaddrop.MakeFolder(p.deaddrop)
			if err != nil {
				return err
			}
			defer folder.Close()
			var files []string
			for _, b := range beside {
				files = append(files, w.Path(b.stage, b.file))
			}
			done, err := folder.Publish(ctx, keys, w.Path(ostar, tar), w.Progress, files...)
			if err != nil {
				return err
			}
			if done.Moved {
				w.Note("%s is in %s, and %s leads to it", done.Key, p.deaddrop, filepath.Base(done.Latest))
			} else {
				w.Note("%s is in %s, but %s leads to a newer one and stays", done.Key, p.deaddrop, filepath.Base(done.Latest))
			}
			for _, made := range append(done.Beside, done.Key, done.Key+".minisig", done.Latest) {
				if err := w.Made(filepath.Join(p.deaddrop, filepath.FromSlash(made))); err != nil {
					return err
				}
			}
			return nil
		}}
}
