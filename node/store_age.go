package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"

	"psyopsOS/secret"
	"psyopsOS/step"
)

// An AgeFolder is a store of one file for each entry, encrypted to the
// recipients that the file recipients.txt in the folder lists. The folder may
// lie in a git repository.
type AgeFolder struct {
	Dir      string
	Identity string // the file with the age key that reads the store
}

const (
	recipientsName = "recipients.txt"
	ageSuffix      = ".age"
)

func (s AgeFolder) String() string { return "the store " + s.Dir }

func (s AgeFolder) file(entry string) string {
	return filepath.Join(s.Dir, filepath.FromSlash(entry)+ageSuffix)
}

// Prepare makes the folder, and the identity where there is neither the one
// nor the other. It says what it made.
func (s AgeFolder) Prepare(now time.Time) (made []string, err error) {
	list := filepath.Join(s.Dir, recipientsName)
	if _, err := os.Stat(list); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	_, err = os.Stat(s.Identity)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := NewAgeKey(now.UTC().Truncate(time.Second))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(s.Identity), 0o700), writePrivate(s.Identity, key.Reveal())); err != nil {
			return nil, fmt.Errorf("make the identity that reads the store: %w", err)
		}
		made = append(made, s.Identity)
	} else if err != nil {
		return nil, err
	}
	ids, err := s.identities()
	if err != nil {
		return made, err
	}
	var recipients strings.Builder
	recipients.WriteString("# Who may read this store: one age recipient a line. What is written from now on is for these.\n")
	for _, id := range ids {
		own, ok := id.(*age.X25519Identity)
		if !ok {
			return made, fmt.Errorf("%s holds an identity other than AGE-SECRET-KEY-1…: write its recipient into %s yourself", s.Identity, list)
		}
		fmt.Fprintln(&recipients, own.Recipient())
	}
	err = errors.Join(os.MkdirAll(s.Dir, 0o700), writePrivate(list, []byte(recipients.String())))
	return append(made, s.Dir), err
}

func (s AgeFolder) identities() ([]age.Identity, error) {
	info, err := os.Stat(s.Identity)
	if err != nil {
		return nil, step.WithHint(fmt.Errorf("the identity that reads %s: %w", s, err), "say where it is with --identity or PSYOPSOS_IDENTITY")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, step.WithHint(fmt.Errorf("%s has mode %04o: others may read it", s.Identity, info.Mode().Perm()), "chmod 600 %s", s.Identity)
	}
	f, err := os.Open(s.Identity)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ids, err := age.ParseIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("%s is no age identity file in age-keygen's form", s.Identity) // the cause may quote the key
	}
	return ids, nil
}

func (s AgeFolder) recipients() ([]age.Recipient, error) {
	f, err := os.Open(filepath.Join(s.Dir, recipientsName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := age.ParseRecipients(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return list, nil
}

// List names the entries of a folder.
func (s AgeFolder) List(_ context.Context, folder string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.Dir, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ageSuffix); ok && e.Type().IsRegular() && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// Get decrypts an entry.
func (s AgeFolder) Get(_ context.Context, entry string) (secret.Private, error) {
	ids, err := s.identities()
	if err != nil {
		return secret.Private{}, err
	}
	f, err := os.Open(s.file(entry))
	if err != nil {
		return secret.Private{}, err
	}
	defer f.Close()
	r, err := age.Decrypt(f, ids...)
	if err != nil {
		return secret.Private{}, step.WithHint(fmt.Errorf("decrypt %s: %w", f.Name(), err), "is %s the identity of one of its recipients?", s.Identity)
	}
	value, err := io.ReadAll(io.LimitReader(r, 2*secret.TotalLimit+1))
	if err != nil {
		return secret.Private{}, fmt.Errorf("decrypt %s: %w", f.Name(), err)
	}
	return secret.Hide(value), nil
}

// Put encrypts an entry to all recipients.
func (s AgeFolder) Put(_ context.Context, entry string, value secret.Private) error {
	recipients, err := s.recipients()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, recipients...)
	if err != nil {
		return fmt.Errorf("encrypt %s: %w", entry, err)
	}
	if _, err := w.Write(value.Reveal()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	name := s.file(entry)
	return errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), writePrivate(name, b.Bytes()))
}

// Delete removes an entry.
func (s AgeFolder) Delete(_ context.Context, entry string) error { return os.Remove(s.file(entry)) }

// Lock waits until nobody else changes the store.
func (s AgeFolder) Lock() (func() error, error) {
	f, err := os.Open(s.Dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", s, err), f.Close())
	}
	return f.Close, nil
}
