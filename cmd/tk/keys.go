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

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/image/stage"
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
type signingSettings struct {
	key, passwordFile, passwordCommand string
	cosigners, trusted                 []string // files
	threshold                          int
}

func (s *signingSettings) addFlags(flags wordsAndFlags) {
	flags.text(&s.key, "sign.key")
	flags.list(&s.cosigners, "sign.cosign-key")
	flags.list(&s.trusted, "sign.trust-key")
	flags.number(&s.threshold, "sign.threshold")
	flags.text(&s.passwordFile, "sign.password-file")
	flags.text(&s.passwordCommand, "sign.password-command")
}

// siteSigning is what psyops.toml and the environment say.
func siteSigning(s *settings.Settings) signingSettings {
	return signingSettings{key: s.Text("sign.key"), passwordFile: s.Text("sign.password-file"), passwordCommand: s.Text("sign.password-command")}
}

// publicHalf is the file beside a secret key's that has its public half.
func publicHalf(key string) string { return strings.TrimSuffix(key, ".key") + ".pub" }

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

// takeKeys finds the keys that sign: those that are set, or the development
// key; and those that are trusted besides. Passwords are asked for when
// something has to be signed.
func (p *project) takeKeys(ctx context.Context, e env) (err error) {
	if p.signing.key == "" {
		return p.takeDevelopmentKey()
	}
	var signers []keyPair
	for _, name := range append([]string{p.signing.key}, p.signing.cosigners...) {
		file := strings.TrimSuffix(name, ".key") + ".pub"
		public, err := readPublicKey(file)
		if err != nil {
			return step.WithHint(fmt.Errorf("the public half of %s: %w", name, err), "`tk signify keygen` makes both halves; images trust the public one")
		}
		signers = append(signers, keyPair{public: public, file: file})
	}
	p.key, p.trusted = signers[0], signers
	for _, file := range p.signing.trusted {
		public, err := readPublicKey(file)
		if err != nil {
			return err
		}
		p.trusted = append(p.trusted, keyPair{public: public, file: file})
	}
	p.secretKeys = sync.OnceValues(func() ([]release.SecretKey, error) {
		pairs, err := signing{pw: p.signing.passwords()}.keys(ctx, e, append([]string{p.signing.key}, p.signing.cosigners...))
		if err != nil {
			return nil, err
		}
		var secrets []release.SecretKey
		for i, pair := range pairs {
			if !pair.public.SameKey(signers[i].public) {
				return nil, fmt.Errorf("%s is not the other half of %s", signers[i].file, pair.file)
			}
			secrets = append(secrets, pair.secret)
		}
		return secrets, nil
	})
	return p.checkThreshold(len(signers))
}

func (p *project) takeDevelopmentKey() (err error) {
	if len(p.signing.cosigners)+len(p.signing.trusted) > 0 || p.signing.threshold > 1 {
		return step.WithHint(usagef("further keys, or a threshold, beside a development key"), "set sign.key: `tk signify keygen` makes one")
	}
	p.key, err = developmentKey(filepath.Join(p.out, "keys"))
	p.trusted = []keyPair{p.key}
	p.secretKeys = func() ([]release.SecretKey, error) { return []release.SecretKey{p.key.secret}, nil }
	return err
}

// checkThreshold refuses what could be built and never booted, before it is
// built.
func (p *project) checkThreshold(signers int) error {
	if _, err := p.trustedKeys(); err != nil {
		return err
	}
	if signers < p.signing.threshold {
		return step.WithHint(fmt.Errorf("%d keys sign, but the threshold is %d: no machine would boot it", signers, p.signing.threshold),
			"add keys with --cosign-key")
	}
	return nil
}

// trustedKeys are the keys by which the images will judge a release.
func (p project) trustedKeys() (release.Keys, error) {
	var keys []release.PublicKey
	for _, pair := range p.trusted {
		keys = append(keys, pair.public)
	}
	return release.NewKeys(max(1, p.signing.threshold), keys...)
}

func readPublicKey(file string) (release.PublicKey, error) {
	text, err := readBounded(file, 4<<10)
	if err != nil {
		return release.PublicKey{}, err
	}
	key, err := release.ParsePublicKey(text)
	if err != nil {
		return key, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// keys are the files by which initramfs and image know whom to trust.
func (p project) keys() map[string][]byte {
	files := map[string][]byte{}
	for _, pair := range p.trusted {
		files[pair.public.ID()+".pub"] = pair.public.Text()
	}
	if len(p.trusted) == 1 {
		return map[string][]byte{filepath.Base(p.key.file): p.key.public.Text()}
	}
	if p.signing.threshold > 1 {
		files[release.ThresholdFile] = fmt.Appendln(nil, p.signing.threshold)
	}
	return files
}

// keyInputs make a stage run when other keys are to sign, or to be trusted.
func (p project) keyInputs() []stage.Input {
	inputs := []stage.Input{stage.File(p.key.file)}
	for _, pair := range p.trusted[1:] {
		inputs = append(inputs, stage.File(pair.file))
	}
	if len(p.trusted) > 1 {
		inputs = append(inputs, stage.Value("signers and threshold", fmt.Sprint(len(p.signing.cosigners)+1, p.signing.threshold)))
	}
	return inputs
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
