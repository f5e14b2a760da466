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
	return p.published(p.named(ostarDDStage), p.named(ostarStage), release.Name{Kind: release.OS, Platform: "x86_64", Version: p.source.version()})
}

func (p project) efisystarDD() stage.Stage {
	return p.published(efisysDDStage, efisysStage, release.Name{Kind: release.ESP, Platform: release.UEFI, Version: p.source.version()})
}

func (p project) published(name, from string, tar release.Name) stage.Stage {
	return stage.Stage{Name: name, Recipe: "1",
		Inputs: append(p.keyInputs(), stage.From(from, tar.String(), tar.String()+".minisig"), stage.Value("deaddrop", p.deaddrop)),
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
			done, err := folder.Publish(ctx, keys, w.Path(from, tar.String()), w.Progress)
			if err != nil {
				return err
			}
			if done.Moved {
				w.Note("%s is in %s, and %s leads to it", done.Key, p.deaddrop, filepath.Base(done.Latest))
			} else {
				w.Note("%s is in %s, but %s leads to a newer one and stays", done.Key, p.deaddrop, filepath.Base(done.Latest))
			}
			for _, made := range []string{done.Key, done.Key + ".minisig", done.Latest} {
				if err := w.Made(filepath.Join(p.deaddrop, filepath.FromSlash(made))); err != nil {
					return err
				}
			}
			return nil
		}}
}
