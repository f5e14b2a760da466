package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/release"
	"psyopsOS/step"
)

func signifySign() command {
	c := command{
		name: "sign", args: "[--key KEY…] [--add] [--comment TEXT] [--password-file F | --password-command C] FILE…",
		short:   "sign files with one or more keys, pre-hashed: FILE.minisig, FILE.minisig.KEYID",
		example: "tk signify sign --key site.key --key second.key psyopsOS.x86_64.20261121-101500.tar",
	}
	c.run = func(ctx context.Context, e env, args []string) error { return helped(sign(ctx, e, c, args)) }
	return c
}

func sign(ctx context.Context, e env, c command, args []string) error {
	c.name = "signify " + c.name
	flags := newFlags(e, c, `
The first key's signature is FILE.minisig, the others' are FILE.minisig.KEYID:
with a threshold of two, nodes want both. Whoever holds the second key adds his
signature later with --add; it takes over the comment of FILE.minisig, since all
signatures of a file must have the same. A release's comment says what the file
is (FORMATS.md, section 3); it is kept when a release is signed again with
another key. A comment that disagrees with the file's name or size is refused,
and so is a version in the future: nodes would take nothing newer until then.
`+passwordHelp+`
With several encrypted keys the n-th --password-file or --password-command is
for the n-th; a single one is for all.`)
	s := signing{pw: passwordFlags(flags), now: time.Now()}
	keys := flags.strings("key", "the secret `key file`, else sign.key of psyops.toml; again for each further key")
	flags.BoolVar(&s.add, "add", false, "keep FILE.minisig, write FILE.minisig.KEYID only")
	flags.StringVar(&s.comment, "comment", "", "the trusted `comment`; default: the one of the FILE.minisig that is there, else minisign's own form")
	files, err := flags.parse(e, args, 1, -1)
	if err != nil {
		return err
	}
	if key := e.settings.Text("sign.key"); len(*keys) == 0 && key != "" {
		*keys = []string{key}
		if len(s.pw.sources()) == 0 {
			s.pw = siteSigning(e.settings).passwords()
		}
	}
	if len(*keys) == 0 {
		return usagef("no --key, and no sign.key in psyops.toml")
	}
	// Everything that can be refused is, before a password is asked for.
	comments := make([]string, len(files))
	for i, file := range files {
		if comments[i], err = s.commentFor(file); err != nil {
			return err
		}
	}
	secrets, err := s.keys(ctx, e, *keys)
	if err != nil {
		return err
	}
	for i, file := range files {
		if err := s.sign(e.stdout, file, comments[i], secrets); err != nil {
			return fmt.Errorf("sign %s: %w", file, err)
		}
	}
	return nil
}

type signing struct {
	add     bool
	comment string
	pw      *passwords
	now     time.Time
}

// commentFor is the trusted comment for file, when that may be signed.
func (s signing) commentFor(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", file)
	}
	old, err := presentComment(file + ".minisig")
	comment := s.comment
	switch {
	case err != nil:
		return "", err
	case s.add && old == "":
		return "", step.WithHint(fmt.Errorf("--add: there is no %s.minisig", file), "the first signature is made without --add")
	case s.add && comment != "" && comment != old:
		return "", fmt.Errorf("--comment %q, but the comment of %s.minisig is %q: all signatures of a file must have the same", comment, file, old)
	case comment == "":
		comment = old
	}
	_, nameErr := release.ParseName(filepath.Base(file))
	if nameErr != nil && !strings.HasPrefix(comment, "type=") {
		if comment == "" {
			comment = fmt.Sprintf("timestamp:%d file:%s hashed", s.now.Unix(), filepath.Base(file))
		}
		return comment, nil
	}
	if comment == "" {
		return "", step.WithHint(fmt.Errorf("%s has the name of a release, but no signature whose comment could be kept", file),
			"say what it is with --comment 'type=psyopsOS filename=… version=…'")
	}
	return comment, checkRelease(file, comment, info.Size(), s.now)
}

// checkRelease refuses a release's comment that nodes would refuse, or that
// they would regret.
func checkRelease(file, comment string, size int64, now time.Time) error {
	info, err := release.ParseComment(comment)
	if err != nil {
		return fmt.Errorf("the comment %q: %w", comment, err)
	}
	if base := filepath.Base(file); info.Filename != base {
		return fmt.Errorf("the comment says filename=%s, but the file is %s", info.Filename, base)
	}
	if info.Size != 0 && info.Size != size {
		return fmt.Errorf("the comment says size=%d, but %s has %d bytes", info.Size, file, size)
	}
	built, err := release.VersionTime(info.Version)
	if err != nil {
		return err
	}
	if built.After(now) {
		return step.WithHint(fmt.Errorf("version %s of %s is in the future: it is %s now", info.Version, file, release.Version(now)),
			"is the clock of the build machine right?")
	}
	return nil
}

// presentComment is the trusted comment of a signature file, empty where there
// is none. Nobody vouches for it: it is shown when it is signed.
func presentComment(name string) (string, error) {
	text, err := readBounded(name, release.MaxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if comment, ok := strings.CutPrefix(line, "trusted comment: "); ok {
			return strings.ReplaceAll(strings.TrimRight(comment, "\r\n"), "\t", " "), nil
		}
	}
	return "", fmt.Errorf("%s is no signature: it has no trusted comment", name)
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return text, err
}
