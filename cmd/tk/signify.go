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

	"psyopsOS/release"
	"psyopsOS/step"
)

func signifyCommand() command {
	return command{
		name: "signify", args: "COMMAND",
		short:   "make keys, sign files and verify signatures, as minisign does",
		example: "tk signify sign --key site.key psyopsOS.x86_64.20261121-101500.tar",
		subs:    []command{signifyKeygen(), signifySign(), signifyVerify()},
	}
}

const passwordHelp = `
The password is asked for on the terminal. Where nobody is there to type it, it
is the first line of a file that only its owner may read (--password-file), or
the first line that a command of a secret store prints (--password-command).
It is never on the command line, where every user of the machine could read it.`

func signifyKeygen() command {
	c := command{
		name: "keygen", args: "NAME [--password-file F | --password-command C | --no-password] [--comment TEXT] [--force]",
		short:   "make a key pair: NAME.key signs, NAME.pub verifies",
		example: "tk signify keygen site --password-command 'pass show psyopsOS/minisign'",
	}
	c.run = func(ctx context.Context, e env, args []string) error { return helped(keygen(ctx, e, c, args)) }
	return c
}

func keygen(ctx context.Context, e env, c command, args []string) error {
	c.name = "signify " + c.name
	flags := newFlags(e, c, `
NAME.key and NAME.pub have minisign's forms. Keep NAME.key away from the build
machine's backups; NAME.pub goes into the image (/etc/psyopsOS/keys/).
`+passwordHelp)
	pw := passwordFlags(flags)
	none := flags.Bool("no-password", false, "leave NAME.key unencrypted: whoever reads it can sign")
	comment := flags.String("comment", "", "the `text` in the first line of NAME.pub")
	force := flags.Bool("force", false, "overwrite an existing key pair; what it signed cannot be made again")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(words[0], ".key")
	if err := oneSource(pw.sources(), *none); err != nil {
		return err
	}
	for _, file := range []string{name + ".key", name + ".pub"} {
		if _, err := os.Lstat(file); err == nil && !*force {
			return step.WithHint(fmt.Errorf("%s is there already", file), "choose another name, or overwrite it with --force")
		}
	}
	public, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if *comment != "" {
		public = public.WithComment(*comment)
		if _, err := release.ParsePublicKey(public.Text()); err != nil {
			return usagef("--comment: %w", err)
		}
	}
	text, err := keyText(ctx, e, secret, pw, *none)
	if err != nil {
		return err
	}
	if err := errors.Join(writeWhole(name+".pub", public.Text(), 0o644), writeWhole(name+".key", text, 0o600)); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s.key and %s.pub: key %s\n", name, name, public.ID())
	return nil
}

func oneSource(given []string, none bool) error {
	if none {
		given = append(given, "--no-password")
	}
	if len(given) > 1 {
		return usagef("%s: one is enough", strings.Join(given, " and "))
	}
	return nil
}

func keyText(ctx context.Context, e env, secret release.SecretKey, pw *passwords, none bool) ([]byte, error) {
	if none {
		return secret.Text()
	}
	password, err := pw.fresh(ctx, e)
	if err != nil {
		return nil, err
	}
	return secret.Encrypted(password)
}

// writeWhole writes a file in one go: there is never half of one, and never
// one that more may read than mode says.
func writeWhole(name string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
