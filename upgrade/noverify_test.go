package upgrade

import (
	"bytes"
	"crypto/rand"
	"path/filepath"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/release"
)

// strange is a release by a key that nobody here trusts.
func strange(t *testing.T) bundle {
	t.Helper()
	_, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := makeBundle(t, v2)
	if b.sig, err = release.Sign(secret, bytes.NewReader(b.tar), b.info.Comment(), "test"); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNoVerifyTakesAnyReleaseAndSaysSoLoudly(t *testing.T) {
	w := newWorld(t)
	w.publish(strange(t))
	_, stderr := w.must(1, "--repository", w.repo, "apply", "nonbooted")
	has(t, stderr, "which is not trusted")

	stdout, stderr := w.must(0, "--quiet", "--no-verify", "--repository", w.repo, "show", "latest")
	has(t, stdout, "version: "+v2)
	has(t, stderr, "WARNING --no-verify: NO SIGNATURE IS CHECKED")
	_, stderr = w.must(0, "--no-verify", "--repository", w.repo, "apply", "nonbooted")
	has(t, stderr, "NO SIGNATURE IS CHECKED", "neuralupgrade INFO Updated nonbooted side psyopsOS-B")
	readFile(t, filepath.Join(w.root, layout.MountSideB, layout.OSTarSignature))
	// This machine's own disk is judged by its own keys all the same.
	stdout, _ = w.must(0, "--no-verify", "show")
	has(t, stdout, "incomplete: signed by key ", "version: "+v1)
}

// Hashes are checked, whoever signed them.
func TestNoVerifyStillHoldsAReleaseToItsOwnManifest(t *testing.T) {
	w := newWorld(t)
	b := strange(t)
	b.tar[len(b.tar)-3000] ^= 1
	w.publish(b)
	_, stderr := w.must(1, "--no-verify", "--repository", w.repo, "apply", "nonbooted")
	has(t, stderr, "its SHA-256 is")
}

func TestNoVerifyIsForOneCommandOnly(t *testing.T) {
	w := newWorld(t)
	_, stderr := w.must(2, "--no-verify", "commit")
	has(t, stderr, "--no-verify with commit")
	w.write(ConfigFile, []byte("no-verify = true\n"))
	_, stderr = w.must(1, "show")
	has(t, stderr, "hint: it is for one command at a time")
}
