package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/release"
	"psyopsOS/step"
)

func signifyVerify() command {
	c := command{
		name: "verify", args: "[--key KEY.pub…] [--threshold N] FILE…",
		short:   "verify files against FILE.minisig and FILE.minisig.KEYID",
		example: "tk signify verify --key site.pub psyopsOS.x86_64.20261121-101500.tar",
	}
	c.run = func(_ context.Context, e env, args []string) error { return helped(verify(e, c, args)) }
	return c
}

func verify(e env, c command, args []string) error {
	c.name = "signify " + c.name
	flags := newFlags(e, c, `
A file is good when as many different keys as the threshold says signed it with
the same comment. The comment and the keys are printed; what is printed is
vouched for. Only pre-hashed signatures count.`)
	files := flags.strings("key", "a trusted public `key file`, else the public half of sign.key; again for each further key")
	threshold := flags.Int("threshold", 1, "how many different keys must have signed")
	names, err := flags.parse(e, args, 1, -1)
	if err != nil {
		return err
	}
	if key := e.settings.Text("sign.key"); len(*files) == 0 && key != "" {
		*files = []string{publicHalf(key)}
	}
	if len(*files) == 0 {
		return usagef("no --key, and no sign.key in psyops.toml")
	}
	keys, err := readPublicKeys(*files, *threshold)
	if err != nil {
		return err
	}
	var bad []error
	for _, name := range names {
		v, err := verifyFile(keys, name)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", name, err))
			continue
		}
		var ids []string
		for _, key := range v.By {
			ids = append(ids, key.ID())
		}
		fmt.Fprintf(e.stdout, "%s: good, key %s, %q\n", name, strings.Join(ids, " and "), v.Comment)
	}
	return errors.Join(bad...)
}

func readPublicKeys(files []string, threshold int) (release.Keys, error) {
	var keys []release.PublicKey
	for _, name := range files {
		text, err := readBounded(name, 4<<10)
		if err != nil {
			return release.Keys{}, err
		}
		key, err := release.ParsePublicKey(text)
		if err != nil {
			return release.Keys{}, fmt.Errorf("%s: %w", name, err)
		}
		keys = append(keys, key)
	}
	return release.NewKeys(threshold, keys...)
}

func verifyFile(keys release.Keys, name string) (release.Vouched, error) {
	signatures, err := signaturesOf(name)
	if err != nil {
		return release.Vouched{}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return release.Vouched{}, err
	}
	defer f.Close()
	v, err := keys.Stream(f, signatures...)
	if err != nil || !strings.HasPrefix(v.Comment, "type=") {
		return v, err
	}
	info, err := release.ParseComment(v.Comment)
	if err == nil && info.Filename != filepath.Base(name) {
		err = step.WithHint(fmt.Errorf("what was signed is called %s", info.Filename), "was the file renamed?")
	}
	return v, err
}

// signaturesOf reads FILE.minisig and what lies beside it as FILE.minisig.KEYID.
func signaturesOf(name string) ([][]byte, error) {
	beside, err := os.ReadDir(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	var signatures [][]byte
	first := filepath.Base(name) + ".minisig"
	for _, entry := range beside {
		if entry.Name() != first && !strings.HasPrefix(entry.Name(), first+".") {
			continue
		}
		text, err := readBounded(filepath.Join(filepath.Dir(name), entry.Name()), release.MaxSignature)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, text)
	}
	return signatures, nil
}
