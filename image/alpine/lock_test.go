package alpine_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/step"
)

// toolRepository has these versions of "tool", which wants "lib", and a kernel.
func toolRepository(t *testing.T, by alpine.Signer, dir, content string, versions ...string) {
	t.Helper()
	all := []alpinetest.Package{alpinetest.New("lib", "1", by).File("l", 0o644, "l"), alpinetest.New("linux-lts", "6.1-r0", by).File("boot/vmlinuz", 0o644, "k")}
	for _, v := range versions {
		p := alpinetest.New("tool", v, by).File("v", 0o644, v+content)
		p.Depends = world("lib")
		all = append(all, p)
	}
	must(t, alpinetest.Repository(dir, by, all...))
}

// newLock is the lock of what words pick now.
func newLock(t *testing.T, c alpine.Client, words string, repositories ...alpine.Repository) (lock alpine.Lock) {
	t.Helper()
	_, err := working(t, func(ctx context.Context, report *step.Reporter) error {
		available, err := c.Available(ctx, report, repositories)
		if err != nil {
			return err
		}
		packages, err := alpine.Resolve(world(words), available)
		if err != nil {
			return err
		}
		kernel, err := alpine.Newest("linux-*", available)
		if err != nil {
			return err
		}
		files, err := c.Fetch(ctx, report, packages)
		if err != nil {
			return err
		}
		apart, err := c.Fetch(ctx, report, kernel)
		if err != nil {
			return err
		}
		lock, err = alpine.NewLock(files, apart)
		return err
	})
	must(t, err)
	return lock
}

// fromLock gives a lock's packages, in their order, and the files' names.
func fromLock(t *testing.T, c alpine.Client, words string, lock alpine.Lock, repositories ...alpine.Repository) (got []string, err error) {
	_, err = working(t, func(ctx context.Context, report *step.Reporter) error {
		files, err := c.Locked(ctx, report, repositories, lock.Packages)
		if err == nil {
			files, err = alpine.Order(world(words), files)
		}
		for _, f := range files {
			got = append(got, f.String())
		}
		return err
	})
	return got, err
}

func TestALockHoldsVersionsAgainstTheRepository(t *testing.T) {
	by, dir, old := signer(t, "k.rsa.pub"), t.TempDir(), client(t)
	old.Base = dir
	from := alpine.Repository{Address: "repo", Keys: alpinetest.Keys(by)} // below Base
	repo := filepath.Join(dir, "repo")
	toolRepository(t, by, repo, "", "1.2-r3")
	lock := newLock(t, old, "tool", from)
	again, err := alpine.ParseLock(lock.Render())
	if err != nil || !reflect.DeepEqual(again, lock) || len(lock.Packages) != 2 || len(lock.ApartLike("linux-*")) != 1 {
		t.Errorf("%v became %v, %v", lock, again, err)
	}
	both := []string{"lib-1", "tool-1.2-r3"}
	for _, c := range []struct {
		name, words string
		client      func(*alpine.Client)
		repository  func()
		want        []string
		err         string
	}{
		{name: "newer ones are not taken", words: "tool", repository: func() { toolRepository(t, by, repo, "", "1.2-r3", "2.0-r0") }, want: both},
		{name: "a repository that went back in time is told", words: "tool", repository: func() { toolRepository(t, by, repo, "", "1.2-r1") },
			err: "tool-1.2-r3 is in no repository; the repository has 1.2-r1, which is older"},
		{name: "the cache is enough, whatever the repository has", words: "tool", repository: func() { toolRepository(t, by, repo, "", "1.2-r1") },
			client: func(c *alpine.Client) { c.Cache = old.Cache }, want: both},
		{name: "also without one", words: "tool", repository: func() { must(t, os.RemoveAll(repo)) },
			client: func(c *alpine.Client) { c.Cache, c.Offline = old.Cache, true }, want: both},
		{name: "offline, with an empty cache", words: "tool", client: func(c *alpine.Client) { c.Offline = true }, err: "2 packages are not in the cache: lib-1 tool-1.2-r3"},
		{name: "another package under the locked version is refused", words: "tool", repository: func() { toolRepository(t, by, repo, "changed", "1.2-r3") },
			err: "another package than the one locked"},
		{name: "a world that asks for more needs a new lock", words: "tool other", err: "world wants other"},
		{name: "a world that asks for another version too", words: "tool=2.0-r0", err: "world wants tool=2.0-r0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			toolRepository(t, by, repo, "", "1.2-r3")
			if c.repository != nil {
				c.repository()
			}
			k := client(t)
			k.Base = dir
			if c.client != nil {
				c.client(&k)
			}
			got, err := fromLock(t, k, c.words, lock, from)
			wantError(t, err, c.err)
			if err == nil && !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// What apk's index has only a SHA-1 of, the lock has the SHA-256 of: a file in
// the cache that only the SHA-1 vouches for is not taken.
func TestALockFindsAFileThatIsAnother(t *testing.T) {
	by, dir, c := signer(t, "k.rsa.pub"), t.TempDir(), client(t)
	toolRepository(t, by, dir, "", "1")
	from := alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)}
	lock := newLock(t, c, "tool", from)
	lock.Packages[1].SHA256 = strings.Repeat("0", 64)
	_, err := fromLock(t, c, "tool", lock, from)
	wantError(t, err, "tool-1 has the SHA-256")
}

func TestOutdatedTellsWhatChanged(t *testing.T) {
	lock := alpine.Lock{Packages: []alpine.Locked{{Name: "a", Version: "1"}, {Name: "b", Version: "2"}, {Name: "c", Version: "1"}, {Name: "d", Version: "1"}}}
	got := []string{}
	for _, c := range lock.Outdated(packages(t, "a 1\nb 1\nc 1.1\ne 5"), nil) {
		got = append(got, c.String())
	}
	want := []string{"b 2 → 1, which is OLDER", "c 1 → 1.1", "d 1 is not needed any more", "e 5 is new"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add(string(alpine.Lock{}.Render()) + "a 1-r0 x86_64 " + alpine.Checksum{}.String() + " " + strings.Repeat("0", 64) + " https://x\napart b 1-r0 x86_64 " + alpine.Checksum{}.String() + " " + strings.Repeat("0", 64) + " https://x\n")
	f.Fuzz(func(t *testing.T, text string) {
		lock, err := alpine.ParseLock([]byte(text))
		if err != nil {
			return
		}
		again, err := alpine.ParseLock(lock.Render())
		if err != nil || !reflect.DeepEqual(again, lock) {
			t.Errorf("%q: %v became %v, %v", text, lock, again, err)
		}
	})
}
