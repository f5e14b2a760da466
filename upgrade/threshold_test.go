package upgrade

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/release"
)

// twoOfThree makes the world trust the tests' key and two more, of which two
// must sign, and gives the secret halves of those two.
func (w *world) twoOfThree() (second, third release.SecretKey) {
	w.t.Helper()
	secrets := map[string]*release.SecretKey{"second": &second, "third": &third}
	for name, secret := range secrets {
		public, s, err := release.GenerateKey(rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		*secret = s
		w.write(filepath.Join(layout.KeysDir, name+".pub"), public.Text())
	}
	w.write(filepath.Join(layout.KeysDir, release.ThresholdFile), []byte("2\n"))
	return second, third
}

func idOf(t testing.TB, key release.SecretKey) string {
	t.Helper()
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	return public.ID()
}

// Issue 4: a threshold of two wants two different keys, for the tar and for
// the manifest in it.
func TestTwoOfThreeKeysSignARelease(t *testing.T) {
	w := newWorld(t)
	second, third := w.twoOfThree()
	// What lies on the sides has one signature only: it is no release here.
	w.publish(makeBundle(t, v2, func(b *bundle) {
		b.tarKeys, b.manifestKeys = []release.SecretKey{third}, []release.SecretKey{second}
	}))
	stdout, _ := w.must(0, "--repository", w.repo, "show", "latest", "system")
	has(t, stdout, "version: "+v2, "incomplete: too few signatures by different trusted keys: 1 of 2")
	w.must(0, "--repository", w.repo, "apply", "nonbooted")
	side := filepath.Join(w.root, layout.MountSideB)
	for _, name := range []string{layout.OSTarSignature, layout.OSTarSignature + "." + idOf(t, third),
		layout.ManifestSignature, layout.ManifestSignature + "." + idOf(t, second)} {
		readFile(t, filepath.Join(side, name))
	}
	state, err := Inspect(w.env(), defaults("x86_64"), w.keys())
	if err != nil || state.B.Incomplete != "" || state.B.Info.Version != v2 {
		t.Errorf("psyopsOS-B is %q, version %q, %v", state.B.Incomplete, state.B.Info.Version, err)
	}
	// The same again: it is read back from the side, signatures and all.
	w.must(0, "rollback")
	w.must(0, "--repository", w.repo, "apply", "--force", "nonbooted")
}

func (w *world) keys() release.Keys {
	w.t.Helper()
	keys, err := Settings{}.keys(w.env())
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// Issue 4: 1 of 2 is refused with the counts, and nothing is changed.
func TestOneOfTwoSignaturesIsRefusedWithTheCounts(t *testing.T) {
	for _, c := range []struct {
		name             string
		tar, manifest    int // how many more than the first key sign
		want             string
		refusedByCommand bool // before there is a plan
	}{
		{"the tar by one", 0, 1, "too few signatures by different trusted keys: 1 of 2", true},
		{"the manifest by one", 1, 0, "manifest.json: too few signatures by different trusted keys: 1 of 2", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			second, _ := w.twoOfThree()
			more := []release.SecretKey{second}
			w.publish(makeBundle(t, v2, func(b *bundle) { b.tarKeys, b.manifestKeys = more[:c.tar], more[:c.manifest] }))
			before := w.loader().State
			_, stderr := w.must(1, "--repository", w.repo, "apply", "nonbooted")
			has(t, stderr, c.want)
			readFile(t, filepath.Join(w.root, layout.MountSideB, layout.BootSum))
			if after := w.loader().State; after != before || len(w.writes) > 0 {
				t.Errorf("the state was %+v and is %+v, after the writes %q", before, after, w.writes)
			}
			if stdout, stderr, ok := w.shows(v2); ok == c.refusedByCommand {
				t.Errorf("show latest: %v\n%s%s", ok, stdout, stderr)
			}
		})
	}
}

func (w *world) shows(version string) (stdout, stderr string, ok bool) {
	status, stdout, stderr := w.runs("--repository", w.repo, "show", "latest")
	return stdout, stderr, status == 0 && strings.Contains(stdout, "version: "+version)
}
