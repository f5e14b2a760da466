package deaddrop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/step"
)

// Releases is the folder of releases, below the folder or the bucket.
const Releases = "os"

// A Published is what became of a release.
type Published struct {
	Key    string // of its tar
	Latest string // the link
	Moved  bool   // the link leads to this release; else to a newer one
	Beside []string
}

// Publish copies a signed tar and its signatures into the folder, under the
// name that its signature says, and then moves latest. It verifies while it
// copies: what no trusted key has signed gets no name. latest never moves to
// an older release. What lies beside the tar (its bill of materials) goes where
// the tar goes, by its own name.
func (f *Folder) Publish(ctx context.Context, keys release.Keys, tar string, progress func(done, total int64), beside ...string) (Published, error) {
	found, err := repo.File(ctx, keys, tar)
	if err != nil {
		return Published{}, err
	}
	platform := found.Info.Architecture
	if found.Info.Kind == release.ESP {
		platform = release.UEFI
	}
	p := Published{Key: path.Join(Releases, found.Info.Filename), Latest: path.Join(Releases, release.LatestSignature(found.Info.Kind, platform))}
	if err := f.makeParent(p.Key); err != nil {
		return p, err
	}
	if err := f.replace(p.Key, func(temporary string) error { return f.copyVerified(ctx, keys, found, temporary, progress) }); err != nil {
		return p, fmt.Errorf("publish %s: %w", tar, err)
	}
	for _, name := range beside {
		key := path.Join(Releases, filepath.Base(name))
		if about(key) != p.Key {
			return p, fmt.Errorf("publish %s: it is not named after %s", name, path.Base(p.Key))
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return p, err
		}
		if err := f.replace(key, func(temporary string) error { return f.root.WriteFile(temporary, content, 0o644) }); err != nil {
			return p, err
		}
		p.Beside = append(p.Beside, key)
	}
	for i, suffix := range found.Suffixes() {
		key := p.Key + ".minisig" + suffix
		if err := f.replace(key, func(temporary string) error {
			return f.root.WriteFile(temporary, found.Signatures[i], 0o644)
		}); err != nil {
			return p, err
		}
	}
	if f.leadsToNewer(p.Latest, found.Info.Version) {
		return p, nil
	}
	p.Moved = true
	return p, f.Link(p.Latest, p.Key+".minisig")
}

func (f *Folder) copyVerified(ctx context.Context, keys release.Keys, found repo.Release, temporary string, progress func(done, total int64)) (err error) {
	verifier, err := keys.Verifier(found.Signatures...)
	if err != nil {
		return err
	}
	file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	from := found.Open(ctx)
	defer from.Close()
	var done int64
	tell := func(n int) { done += int64(n); progress(done, found.Info.Size) }
	if _, err := io.CopyBuffer(io.MultiWriter(verifier, file), contextReader{ctx, from, tell}, make([]byte, 1<<20)); err != nil {
		return err
	}
	if _, err := verifier.Verify(); err != nil {
		return step.WithHint(err, "build the tar anew: what is on the disk is not what was signed")
	}
	return file.Sync()
}

// leadsToNewer reports whether a link names a release that is newer than
// version and is there.
func (f *Folder) leadsToNewer(link, version string) bool {
	target, err := f.root.Readlink(link)
	if err != nil {
		return false
	}
	key, err := resolve(link, target)
	if err != nil {
		return false
	}
	_, have := familyOf(signed(key))
	_, err = f.root.Lstat(signed(key))
	return err == nil && have > version
}
