package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"psyopsOS/release"
	"psyopsOS/step"
)

// A keyPair signs a release, and is what the release's own images trust.
type keyPair struct {
	public release.PublicKey
	secret release.SecretKey
	file   string // of the public key
}

// signingSettings say which key signs releases.
type signingSettings struct{ key, passwordFile, passwordCommand string }

func (s *signingSettings) addFlags(flags wordsAndFlags) {
	flags.text(&s.key, "sign.key")
	flags.text(&s.passwordFile, "sign.password-file")
	flags.text(&s.passwordCommand, "sign.password-command")
}

// passwords are where the key's password comes from.
func (s signingSettings) passwords() *passwords {
	given := func(text string) *[]string {
		if text == "" {
			return new([]string)
		}
		return &[]string{text}
	}
	return &passwords{given(s.passwordFile), given(s.passwordCommand)}
}

// takeKey finds the key that signs: the one that is set, or the development
// key. Its password is asked for when something has to be signed.
func (p *project) takeKey(ctx context.Context, e env) (err error) {
	if p.signing.key == "" {
		p.key, err = developmentKey(filepath.Join(p.out, "keys"))
		p.secretKey = func() (release.SecretKey, error) { return p.key.secret, nil }
		return err
	}
	name := p.signing.key
	p.key.file = strings.TrimSuffix(name, ".key") + ".pub"
	text, err := readBounded(p.key.file, 4<<10)
	if err == nil {
		p.key.public, err = release.ParsePublicKey(text)
	}
	if err != nil {
		return step.WithHint(fmt.Errorf("the public half of %s: %w", name, err), "`tk signify keygen` makes both halves; images trust the public one")
	}
	p.secretKey = sync.OnceValues(func() (release.SecretKey, error) {
		pairs, err := signing{pw: p.signing.passwords()}.keys(ctx, e, []string{name})
		if err != nil {
			return release.SecretKey{}, err
		}
		if !pairs[0].public.SameKey(p.key.public) {
			return release.SecretKey{}, fmt.Errorf("%s is not the other half of %s", p.key.file, name)
		}
		return pairs[0].secret, nil
	})
	return nil
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
