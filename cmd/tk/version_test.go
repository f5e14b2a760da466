package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"psyopsOS/cmd/tk/settings"
)

func TestTheReleasesTimeFollowsTheTree(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	root, out := t.TempDir(), t.TempDir()
	sh := func(command string) {
		t.Helper()
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
			"GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, said)
		}
	}
	clock := time.Date(2026, 11, 21, 12, 0, 0, 500, time.UTC)
	version := func() string {
		t.Helper()
		clock = clock.Add(time.Minute)
		set, err := settings.Load(buildSettings(), "", os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		s, err := readSource(t.Context(), root, out, set, clock)
		if err != nil {
			t.Fatal(err)
		}
		return s.version()
	}
	is := func(name, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: version %s, want %s", name, got, want)
		}
	}
	sh("git init -q && echo one > 'a file' && git add . && git commit -qm one")
	is("a clean tree has its commit's time", version(), "20260102-030405")
	sh("echo two >> 'a file'")
	is("a changed one the clock's", version(), "20261121-120200")
	is("until it changes again", version(), "20261121-120200")
	sh("echo three >> 'a file'")
	is("which is seen", version(), "20261121-120400")
	sh("echo new > other")
	is("as is a new file", version(), "20261121-120500")
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	is("the environment wins", version(), "19700102-000000")
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := settings.Load(buildSettings(), "", os.Getenv); err == nil {
		t.Error("SOURCE_DATE_EPOCH=yesterday was taken")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if err := os.RemoveAll(filepath.Join(root, ".git")); err != nil {
		t.Fatal(err)
	}
	is("without git it is the clock's", version(), "20261121-120700")
	is("each time", version(), "20261121-120800")
}

func TestTheDevelopmentKeyIsMadeOnceAndForItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, err := developmentKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := developmentKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !first.public.SameKey(again.public) || !again.public.IsDevelopment() {
		t.Errorf("got %v and then %v", first.public, again.public)
	}
	info, err := os.Stat(filepath.Join(dir, "development.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret key has mode %v, %v", info.Mode(), err)
	}
}
