package alpine_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/step"
)

// locked makes a repository with these versions of "tool", and the lock of
// what world picks.
func locked(t *testing.T, by alpine.Signer, words string, versions ...string) (lock alpine.Lock, available []alpine.Package, files []alpine.File) {
	t.Helper()
	dir := t.TempDir()
	all := []alpinetest.Package{}
	for _, v := range versions {
		p := alpinetest.New("tool", v, by).File("v", 0o644, v)
		p.Depends = world("lib")
		all = append(all, p)
	}
	all = append(all, alpinetest.New("lib", "1", by).File("l", 0o644, "l"))
	must(t, alpinetest.Repository(dir, by, all...))
	k := client(t)
	_, err := working(t, func(ctx context.Context, report *step.Reporter) (err error) {
		if available, err = k.Available(ctx, report, []alpine.Repository{{Address: dir, Keys: alpinetest.Keys(by)}}); err != nil {
			return err
		}
		packages, err := alpine.Resolve(world(words), available)
		if err != nil {
			return err
		}
		if files, err = k.Fetch(ctx, report, packages); err != nil {
			return err
		}
		lock, err = alpine.NewLock(files)
		return err
	})
	must(t, err)
	return lock, available, files
}

func TestALockHoldsVersionsAgainstTheRepository(t *testing.T) {
	by := signer(t, "k.rsa.pub")
	lock, _, files := locked(t, by, "tool", "1.2-r3")
	must(t, lock.Verify(files))
	again, err := alpine.ParseLock(lock.Render())
	if err != nil || !reflect.DeepEqual(again, lock) {
		t.Errorf("%v became %v, %v", lock, again, err)
	}
	for _, c := range []struct {
		name, world string
		available   func() []alpine.Package
		want, err   string
	}{
		{"newer ones are not taken", "tool", func() []alpine.Package { _, a, _ := locked(t, by, "tool", "1.2-r3", "2.0-r0"); return a }, "[lib-1 tool-1.2-r3]", ""},
		{"a repository that went back in time is told", "tool", func() []alpine.Package { _, a, _ := locked(t, by, "tool", "1.2-r1"); return a }, "", "tool-1.2-r3 is in no repository; the repository has 1.2-r1, which is older"},
		{"another package under the locked version is refused", "tool", func() []alpine.Package {
			_, a, _ := locked(t, by, "tool", "1.2-r3")
			for i := range a {
				a[i].Checksum[0] ^= 1
			}
			return a
		}, "", "another package than the one locked"},
		{"a world that asks for more needs a new lock", "tool other", func() []alpine.Package { _, a, _ := locked(t, by, "tool", "1.2-r3"); return a }, "", "world wants other"},
		{"a world that asks for another version too", "tool=2.0-r0", func() []alpine.Package { _, a, _ := locked(t, by, "tool", "1.2-r3", "2.0-r0"); return a }, "", "world wants tool=2.0-r0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := lock.Pick(world(c.world), c.available())
			wantError(t, err, c.err)
			if err == nil && fmt.Sprint(got) != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestALockFindsAFileThatIsAnother(t *testing.T) {
	by := signer(t, "k.rsa.pub")
	lock, _, files := locked(t, by, "tool", "1")
	lock.Packages[1].SHA256 = strings.Repeat("0", 64)
	wantError(t, lock.Verify(files), "tool-1 has the SHA-256")
}

func TestOutdatedTellsWhatChanged(t *testing.T) {
	lock := alpine.Lock{Packages: []alpine.Locked{{Name: "a", Version: "1"}, {Name: "b", Version: "2"}, {Name: "c", Version: "1"}, {Name: "d", Version: "1"}}}
	got := []string{}
	for _, c := range lock.Outdated(packages(t, "a 1\nb 1\nc 1.1\ne 5")) {
		got = append(got, c.String())
	}
	want := []string{"b 2 → 1, which is OLDER", "c 1 → 1.1", "d 1 is not needed any more", "e 5 is new"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add(string(alpine.Lock{}.Render()) + "a 1-r0 x86_64 " + alpine.Checksum{}.String() + " " + strings.Repeat("0", 64) + " https://x\n")
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
