package node

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"psyopsOS/secret"
)

// Names lists the files of the record's volume in order.
func (r Record) Names() []string { return slices.Sorted(maps.Keys(r.Files)) }

// WriteDir writes the files into the folder dir, which only its owner may
// enter. A folder that holds anything is refused without force; with it, what
// has another name stays.
func (r Record) WriteDir(dir string, force bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 && !force {
		return fmt.Errorf("%s is not empty", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	for _, name := range r.Names() {
		if err := writePrivate(filepath.Join(dir, name), r.Files[name].Reveal()); err != nil {
			return fmt.Errorf("write the secrets of %s: %w", r.Name, err)
		}
	}
	return nil
}

// Tar is a tar of the files, all of root's and for root alone.
func (r Record) Tar() (secret.Private, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, name := range r.Names() {
		content := r.Files[name].Reveal()
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: r.Created, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return secret.Private{}, err
		}
		if _, err := t.Write(content); err != nil {
			return secret.Private{}, err
		}
	}
	if err := t.Close(); err != nil {
		return secret.Private{}, err
	}
	return secret.Hide(b.Bytes()), nil
}

// Script is a shell script that writes the files into the folder that it is
// given: for a machine that can be reached by nothing but a terminal.
func (r Record) Script() secret.Private {
	var b strings.Builder
	fmt.Fprintf(&b, `#!/bin/sh
# The secrets of psyopsOS node %s, made %s.
# usage: sh THIS FOLDER        the folder where its psyops-secret volume is mounted
set -eu
umask 077
dir=${1:?usage: sh $0 FOLDER}
test -d "$dir" || { echo "$0: $dir is no folder" >&2; exit 1; }
put() { base64 -d > "$dir/.$1.new" && chmod 600 "$dir/.$1.new" && mv "$dir/.$1.new" "$dir/$1"; }
`, r.Name, r.Created.Format(time.RFC3339))
	for _, name := range r.Names() {
		fmt.Fprintf(&b, "put %s <<'---'\n%s---\n", name, wrapped(r.Files[name].Reveal()))
	}
	b.WriteString("sync\n")
	return secret.Hide([]byte(b.String()))
}

func wrapped(content []byte) string {
	var b strings.Builder
	for chunk := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(content)), 76) {
		b.Write(chunk)
		b.WriteByte('\n')
	}
	return b.String()
}

// WriteFile writes a private file for its owner alone. One that is there is
// refused without force.
func WriteFile(name string, content secret.Private, force bool) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) && !force {
		return errors.Join(err, fmt.Errorf("%s is there already", name))
	}
	return writePrivate(name, content.Reveal())
}

// writePrivate writes a file in one go, mode 0600 from its first byte on.
func writePrivate(name string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
