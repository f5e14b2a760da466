package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"psyopsOS/release"
	"psyopsOS/step"
)

// keys reads the secret keys, and refuses one key given twice.
func (s signing) keys(ctx context.Context, e env, files []string) ([]keyPair, error) {
	var pairs []keyPair
	encrypted := 0
	for _, name := range files {
		text, err := readBounded(name, 4<<10)
		if err != nil {
			return nil, err
		}
		var password []byte
		if release.IsEncrypted(text) {
			if password, err = s.pw.of(ctx, e, encrypted, name); err != nil {
				return nil, err
			}
			encrypted++
		}
		pair := keyPair{file: name}
		if pair.secret, err = release.ReadSecretKey(text, password); err == nil {
			pair.public, err = pair.secret.Public()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, other := range pairs {
			if other.public.SameKey(pair.public) {
				return nil, fmt.Errorf("%s and %s are the same key: it counts once", other.file, name)
			}
			if other.public.ID() == pair.public.ID() {
				return nil, fmt.Errorf("%s and %s have the same id %s: their signatures would have one name", other.file, name, pair.public.ID())
			}
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// sign writes the signatures of file. The first, FILE.minisig, is written
// last: it is what tells a reader that the file is signed.
func (s signing) sign(w io.Writer, file, comment string, keys []keyPair) error {
	var last func() error
	for i, key := range keys {
		name := file + ".minisig." + key.public.ID()
		if i == 0 && !s.add {
			name = file + ".minisig"
		}
		text, err := signFile(file, comment, key)
		if err != nil {
			return err
		}
		write := func() error {
			if err := writeWhole(name, text, 0o644); err != nil {
				return err
			}
			_, err := fmt.Fprintf(w, "%s: key %s, %q\n", name, key.public.ID(), comment)
			return err
		}
		if i == 0 {
			last = write
		} else if err := write(); err != nil {
			return err
		}
	}
	return last()
}

func signFile(file, comment string, key keyPair) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := release.Sign(key.secret, f, comment, "signature from tk, key "+key.public.ID())
	if err != nil {
		return nil, err
	}
	// What its own public half does not verify is not given away.
	keys, err := release.NewKeys(1, key.public)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if _, err := keys.Stream(f, text); err != nil {
		return nil, step.WithHint(fmt.Errorf("the new signature does not verify: %w", err), "did %s change while it was signed?", file)
	}
	return text, nil
}
