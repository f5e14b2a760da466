package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"psyopsOS/secret"
)

func ageFolder(t *testing.T) AgeFolder {
	t.Helper()
	dir := t.TempDir()
	s := AgeFolder{filepath.Join(dir, "store"), filepath.Join(dir, "config", "age.key")}
	if made, err := s.Prepare(when); err != nil || !slices.Equal(made, []string{s.Identity, s.Dir}) {
		t.Fatalf("made %q, %v", made, err)
	}
	return s
}

// keeper is a store of plain files behind a program, as a user would write it.
func keeper(t *testing.T) Command {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "keeper")
	if err := os.WriteFile(script, []byte(`#!/bin/sh
set -eu
cd `+dir+`
echo "$@" >> log
case $1 in
get) cat "$2" ;;
put) mkdir -p "$(dirname "$2")"; cat > "$2" ;;
delete) rm "$2" ;;
list) [ ! -d "$2" ] || ls "$2" ;;
esac
`), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := ParseStore("cmd:"+script+" {verb} {entry}", os.Getenv, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil || bytes.Contains(log, []byte("version")) || bytes.Contains(log, []byte("KEY")) {
			t.Errorf("on the command line: %s, %v", log, err)
		}
	})
	return s
}

func passwordStore(t *testing.T) Command {
	t.Helper()
	home, err := os.MkdirTemp("", "p") // gpg's sockets want a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", home)
	t.Setenv("PASSWORD_STORE_DIR", filepath.Join(home, "passwords"))
	t.Cleanup(func() {
		err := exec.Command("gpgconf", "--kill", "all").Run()
		if err := errors.Join(err, os.RemoveAll(home)); err != nil {
			t.Error(err)
		}
	})
	program(t, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "tester@example.org", "rsa2048", "encr")
	program(t, "pass", "init", "tester@example.org")
	s, err := ParseStore("pass:our/psyopsOS", os.Getenv, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryStoreKeepsNodesAndTheCA(t *testing.T) {
	for name, open := range map[string]func(*testing.T) Store{
		"a folder of age files": func(t *testing.T) Store { return ageFolder(t) },
		"a program":             func(t *testing.T) Store { return keeper(t) },
		"pass":                  func(t *testing.T) Store { return passwordStore(t) },
	} {
		t.Run(name, func(t *testing.T) { keeps(t.Context(), t, Registry{open(t)}) })
	}
}

func keeps(ctx context.Context, t *testing.T, g Registry) {
	if names, err := g.Names(ctx); err != nil || len(names) != 0 {
		t.Fatalf("an empty store has %q, %v", names, err)
	}
	if _, err := g.CA(ctx); err == nil || !strings.Contains(err.Error(), "no psynet CA") {
		t.Errorf("without a CA: got %v", err)
	}
	ca := testCA(t)
	if err := g.PutCA(ctx, ca, false); err != nil {
		t.Fatal(err)
	}
	if err := g.PutCA(ctx, testCA(t), false); err == nil {
		t.Error("a CA was replaced without force")
	}
	if got, err := g.CA(ctx); err != nil || !bytes.Equal(got.Certificate, ca.Certificate) || !bytes.Equal(got.Key.Reveal(), ca.Key.Reveal()) {
		t.Errorf("another CA comes out: %v", err)
	}
	for i, name := range []string{"two", "one"} {
		r := Request{Name: name, Psynet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}), 24)}
		if _, err := g.Add(ctx, r, false, func() (Record, error) { return Make(r, ca, when, rand.Reader) }); err != nil {
			t.Fatal(err)
		}
	}
	called := false
	taken := Request{Name: "three", Psynet: netip.MustParsePrefix("10.77.0.1/24")}
	if _, err := g.Add(ctx, taken, false, func() (Record, error) { called = true; return Record{}, nil }); err == nil || called {
		t.Errorf("a taken address: %v, made %v", err, called)
	}
	if names, err := g.Names(ctx); err != nil || !slices.Equal(names, []string{"one", "two"}) {
		t.Errorf("got %q, %v", names, err)
	}
	one, err := g.Node(ctx, "one")
	if err != nil || string(one.Files[secret.NodenameFile].Reveal()) != "one\n" {
		t.Errorf("got %+v, %v", one, err)
	}
	if err := g.Delete(ctx, "one"); err != nil {
		t.Error(err)
	}
	var absent *AbsentError
	if _, err := g.Node(ctx, "one"); !errors.As(err, &absent) || !slices.Equal(absent.Have, []string{"two"}) {
		t.Errorf("a deleted node: got %v", err)
	}
}

func TestAgeReadsTheStoreAndNobodyElseCan(t *testing.T) {
	s := ageFolder(t)
	if err := s.Put(t.Context(), "nodes/one", secret.Hide([]byte("a secret\n"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir, "nodes", "one.age")
	if got := program(t, "age", "-d", "-i", s.Identity, file); got != "a secret\n" {
		t.Errorf("age says %q", got)
	}
	for _, name := range []string{file, s.Identity} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	other := ageFolder(t)
	other.Dir = s.Dir
	if _, err := other.Get(t.Context(), "nodes/one"); err == nil {
		t.Error("another identity reads it")
	}
	// A second recipient reads what is written from then on.
	list := filepath.Join(s.Dir, recipientsName)
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	more := program(t, "age-keygen", "-y", other.Identity)
	if err := os.WriteFile(list, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "nodes/one", secret.Hide([]byte("again\n"))); err != nil {
		t.Fatal(err)
	}
	if got, err := other.Get(t.Context(), "nodes/one"); err != nil || string(got.Reveal()) != "again\n" {
		t.Errorf("the second recipient: %v", err)
	}
	if err := os.Chmod(s.Identity, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "nodes/one"); err == nil || !strings.Contains(err.Error(), "others may read it") {
		t.Errorf("an identity that all may read: got %v", err)
	}
	if made, err := s.Prepare(when); err != nil || len(made) > 0 {
		t.Errorf("a second time it made %q, %v", made, err)
	}
}

func TestOfTwoWhoAskForOneAddressAtOnceOneGetsIt(t *testing.T) {
	g := Registry{ageFolder(t)}
	ca := testCA(t)
	errs := make([]error, 8)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			r := Request{Name: string(rune('a' + i)), Psynet: netip.MustParsePrefix("10.77.0.9/24")}
			_, errs[i] = g.Add(t.Context(), r, false, func() (Record, error) { return Make(r, ca, when, rand.Reader) })
		})
	}
	wait.Wait()
	good := 0
	for _, err := range errs {
		var taken *TakenError
		if err == nil {
			good++
		} else if !errors.As(err, &taken) {
			t.Errorf("got %v", err)
		}
	}
	if good != 1 {
		t.Errorf("%d got the address", good)
	}
}

func TestAStoreBehindAProgramIsNamedInFull(t *testing.T) {
	for text, want := range map[string]string{
		"pass:":                       "want pass:PREFIX",
		"pass:/a":                     "want pass:PREFIX",
		"pass:-f":                     "want pass:PREFIX",
		"cmd:keeper {verb}":           "want a program with {verb} and {entry}",
		"cmd:keeper":                  "want a program with {verb} and {entry}",
		"vault:x":                     "want a folder, pass:PREFIX or cmd:PROGRAM",
		"cmd:keeper x:{verb} {entry}": "",
	} {
		_, err := ParseStore(text, os.Getenv, os.Stderr)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	broken, err := ParseStore("cmd:false {verb} {entry}", os.Getenv, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.List(t.Context(), "nodes"); err == nil {
		t.Error("a program that fails was believed")
	}
	odd, err := ParseStore("cmd:echo {verb}\t../{entry}", os.Getenv, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := odd.List(t.Context(), "nodes"); err == nil || !strings.Contains(err.Error(), "no name of an entry") {
		t.Errorf("odd names: got %v", err)
	}
}
