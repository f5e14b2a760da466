package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"psyopsOS/release"
	"psyopsOS/step"
)

// A keyPair signs a release, and is what the release's own images trust.
type keyPair struct {
	public release.PublicKey
	secret release.SecretKey
	file   string // of the public key
}

// developmentKey is the key of a builder who has none of his own: made at
// first use, without a password, readable by its owner alone. Its comment says
// what it is, so that a boot can tell.
func developmentKey(dir string) (keyPair, error) {
	secretFile := filepath.Join(dir, "development.key")
	pair := keyPair{file: filepath.Join(dir, "development.pub")}
	text, err := os.ReadFile(secretFile)
	if errors.Is(err, fs.ErrNotExist) {
		return pair, pair.make(dir, secretFile)
	}
	if err != nil {
		return pair, err
	}
	if pair.secret, err = release.ReadSecretKey(text, nil); err != nil {
		return pair, step.WithHint(fmt.Errorf("%s: %w", secretFile, err), "delete the folder %s for a new development key", dir)
	}
	text, err = os.ReadFile(pair.file)
	if err == nil {
		pair.public, err = release.ParsePublicKey(text)
	}
	return pair, err
}

func (p *keyPair) make(dir, secretFile string) (err error) {
	if p.public, p.secret, err = release.GenerateKey(rand.Reader); err != nil {
		return err
	}
	p.public = p.public.WithComment(release.DevelopmentComment)
	text, err := p.secret.Text()
	if err != nil {
		return err
	}
	// The secret key last: it is what says that the pair is there.
	return errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(p.file, p.public.Text(), 0o644),
		os.WriteFile(secretFile, text, 0o600))
}
