package boot_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/secret"
	"psyopsOS/step"
)

// refused boots a machine and wants the named step to refuse it with words and
// a hint, before anything of the side is used.
func (w *world) refused(stepName, words string) {
	w.t.Helper()
	err := w.boot("psyopsos=psyopsOS-A")
	var failure *step.Error
	if !errors.As(err, &failure) || failure.Step != stepName || !strings.Contains(err.Error(), words) {
		w.t.Errorf("got %v, want %q to fail with %q", err, stepName, words)
	}
	if step.HintOf(err) == "" {
		w.t.Errorf("no hint with %v", err)
	}
	if len(w.handed) > 0 {
		w.t.Error("handed over all the same")
	}
	for step, place := range map[string]string{"copy squashfs": layout.MediaRootRO, "copy modloop": layout.ModloopDir} {
		if step == stepName && w.storage.Mounted(filepath.Join(w.machine.Root, place)) {
			w.t.Errorf("%s: it was mounted all the same", step)
		}
		copied := filepath.Join(w.machine.Root, layout.MediaRAM, strings.TrimPrefix(step, "copy "))
		if _, err := os.Stat(copied); step == stepName && err == nil {
			w.t.Errorf("%s: the copy stays in memory", step)
		}
	}
}

// flip changes one bit of one byte of a file of the side.
func (w *world) flip(name string, at int) {
	b := []byte(w.side[name])
	b[at] ^= 1
	w.side[name] = string(b)
}

func TestAFlippedByteInAnyFileOfTheSideIsRefused(t *testing.T) {
	for _, c := range []struct{ file, step, words string }{
		{layout.Squashfs, "copy squashfs", "squashfs on psyopsOS-A (vda3) is not the file that was signed: its SHA-256 is "},
		{layout.Modloop, "copy modloop", "modloop on psyopsOS-A (vda3) is not the file that was signed: its SHA-256 is "},
		{layout.Manifest, "verify the manifest", "manifest.json: contents are not what key "},
		{layout.ManifestSignature, "verify the manifest", "manifest.json: "},
	} {
		for where, at := range map[string]func(size int) int{
			"first": func(int) int { return 0 }, "middle": func(n int) int { return n / 2 }, "last": func(n int) int { return n - 1 },
		} {
			t.Run(where+" byte of "+c.file, func(t *testing.T) {
				w := newWorld(t)
				w.flip(c.file, at(len(w.side[c.file])))
				w.refused(c.step, c.words)
			})
		}
	}
}

// A large file is verified MiB by MiB, on all processors.
func TestAFlippedByteInAnyMiBIsRefusedOrToldOnce(t *testing.T) {
	w := newWorld(t)
	w.side[layout.Squashfs] = strings.Repeat("9 bytes, ", 3<<20/9)
	w.sign(release.OS, "x86_64")
	if err := w.boot("psyopsos=psyopsOS-A"); err != nil {
		t.Fatal(err)
	}
	size := len(w.side[layout.Squashfs])
	for _, at := range []int{0, 1<<20 - 1, 1 << 20, 2<<20 + 7, size - 1} {
		w := newWorld(t)
		w.side[layout.Squashfs] = strings.Repeat("9 bytes, ", 3<<20/9)
		w.sign(release.OS, "x86_64")
		w.flip(layout.Squashfs, at)
		w.refused("copy squashfs", fmt.Sprintf(" is not the file that was signed: the SHA-256 of its %d bytes from byte %d is ",
			min(1<<20, size-at>>20<<20), at>>20<<20))
	}
	w.flip(layout.Squashfs, 5)
	w.flip(layout.Squashfs, size-1)
	w.events.Events = nil
	if err := w.boot("psyopsos=psyopsOS-A psyopsos.verify=warn"); err != nil {
		t.Error(err)
	}
	warnings := 0
	for _, e := range w.events.Events {
		if e.Kind == step.Warning && strings.Contains(e.Message, "not the file that was signed") {
			warnings++
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings of two MiB that differ, want one", warnings)
	}
}

// The first line's comment is outside of what minisign signs, and nobody reads
// it: that is the one place of a side where a flipped bit does nothing.
func TestAFlippedBitAnywhereInTheSignatureIsRefusedButInItsUntrustedComment(t *testing.T) {
	w := newWorld(t)
	manifest, signature := w.side[layout.Manifest], w.side[layout.ManifestSignature]
	free := strings.IndexByte(signature, '\n')
	for at := range signature {
		for bit := range 8 {
			b := []byte(signature)
			b[at] ^= 1 << bit
			_, err := w.keys.VerifyManifest([]byte(manifest), b)
			if unsigned := at >= len("untrusted comment: ") && at < free; err == nil && !unsigned {
				t.Errorf("bit %d of byte %d (%q) of %q was flipped, and it was believed", bit, at, signature[at], signature)
			}
		}
	}
}

// Which of several things that are wrong is told must not depend on how fast a
// machine is: the reason is written into the state, and tests look for it.
func TestAnEmptySideHasOneReasonWhicheverStepIsSlow(t *testing.T) {
	const line = "psyopsos=psyopsOS-A psyopsos.wait=0"
	for _, slow := range names(t, line) {
		t.Run(slow, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			clear(w.side)
			var failed []string
			_ = w.run(line, func(s step.Step) step.Step {
				if do := s.Do; s.Name == slow {
					s.Do = func(ctx context.Context, r *step.Reporter) error {
						time.Sleep(20 * time.Millisecond)
						return do(ctx, r)
					}
				}
				return s
			}, func(f *step.Error) bool { failed = append(failed, f.Step); return false })
			if !slices.Equal(failed, []string{"verify the manifest"}) {
				t.Errorf("what failed is %q, want the manifest's verification", failed)
			}
		})
	}
}

func TestWhatIsNotWhatWasSignedIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		step   string
		want   string
	}{
		{"a truncated squashfs", func(w *world) { w.side[layout.Squashfs] = w.side[layout.Squashfs][:4000] }, "copy squashfs", "squashfs is too short: 4000 bytes instead of 9000"},
		{"an empty squashfs", func(w *world) { w.side[layout.Squashfs] = "" }, "copy squashfs", "squashfs is too short: 0 bytes instead of 9000"},
		{"extra bytes behind the squashfs", func(w *world) { w.side[layout.Squashfs] += "x" }, "copy squashfs", "squashfs is too long: 9001 bytes instead of 9000"},
		{"a truncated modloop", func(w *world) { w.side[layout.Modloop] = w.side[layout.Modloop][:10] }, "copy modloop", "modloop is too short: 10 bytes instead of 4000"},
		{"extra bytes behind the modloop", func(w *world) { w.side[layout.Modloop] += "x" }, "copy modloop", "modloop is too long: 4001 bytes instead of 4000"},
		{"no squashfs", func(w *world) { delete(w.side, layout.Squashfs) }, "plan memory", "psyopsOS-A is not complete: stat "},
		{"no modloop", func(w *world) { delete(w.side, layout.Modloop) }, "plan memory", "modloop: no such file"},
		{"no manifest", func(w *world) { delete(w.side, layout.Manifest) }, "verify the manifest", "manifest.json: no such file"},
		{"an empty manifest", func(w *world) { w.side[layout.Manifest] = "" }, "verify the manifest", "manifest.json: contents are not what key "},
		{"a manifest that is too large", func(w *world) { w.side[layout.Manifest] = strings.Repeat(" ", release.MaxManifest+1) }, "verify the manifest", "is larger than 1.0 MiB"},
		{"no signature", func(w *world) { delete(w.side, layout.ManifestSignature) }, "verify the manifest", "manifest.json.minisig: unsigned: there is no signature"},
		{"an empty signature", func(w *world) { w.side[layout.ManifestSignature] = "" }, "verify the manifest", "manifest.json.minisig: unsigned: there is no signature"},
		{"a signature with a line more", func(w *world) { w.side[layout.ManifestSignature] += "x\n" }, "verify the manifest", "5 lines, want 4"},
		{"a manifest that does not name the modloop", func(w *world) { w.signWithout(layout.Modloop) }, "copy modloop", "does not name modloop"},
		{"a manifest that does not name the squashfs", func(w *world) { w.signWithout(layout.Squashfs) }, "copy squashfs", "does not name squashfs"},
		{"another release's manifest", func(w *world) {
			own := w.side[layout.Squashfs]
			w.side[layout.Squashfs] = strings.Repeat("other one", 1000)
			w.sign(release.OS, "x86_64")
			w.side[layout.Squashfs] = own
		}, "copy squashfs", "squashfs on psyopsOS-A (vda3) is not the file that was signed"},
		{"a release for another machine", func(w *world) { w.sign(release.OS, "riscv64") }, "verify the manifest", "for riscv64, this machine is x86_64"},
		{"a key that is not trusted", func(w *world) { w.signByAnother() }, "verify the manifest", ", which is not trusted (trusted: "},
		{"no keys at all", func(w *world) { w.keys = release.Keys{} }, "verify the manifest", "not trusted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			w.refused(c.step, c.want)
		})
	}
}

// signWithout makes a right manifest that does not name one of the files.
func (w *world) signWithout(name string) {
	content := w.side[name]
	delete(w.side, name)
	w.sign(release.OS, "x86_64")
	w.side[name] = content
}

// signByAnother signs the side with a key that the initramfs does not hold,
// and returns its public half.
func (w *world) signByAnother() release.PublicKey {
	w.t.Helper()
	public, key, err := release.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.key = key
	w.sign(release.OS, "x86_64")
	return public
}

// A key on psyops-secret is for updates. Whoever can write that volume must
// not be able to choose what is booted.
func TestTheKeyOnPsyopsSecretIsNeverUsedForBooting(t *testing.T) {
	w := newWorld(t)
	w.volume[secret.MinisignPubkey] = string(w.signByAnother().Text())
	w.refused("verify the manifest", ", which is not trusted (trusted: ")
	if slices.ContainsFunc(w.storage.Calls(), func(call string) bool { return strings.Contains(call, "/dev/vda2") }) {
		t.Error("psyops-secret was read before the release was believed")
	}
}

// Issue 4: the same rule holds at every boot: k different keys.
func TestTwoOfThreeKeysBootASide(t *testing.T) {
	for _, signers := range []int{1, 2} {
		w := newWorld(t)
		secrets := []release.SecretKey{w.key}
		for range 2 {
			public, key, err := release.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, key)
			w.keys = w.keys.With(public)
		}
		keys, err := release.NewKeys(2, w.keys.All()...)
		if err != nil {
			t.Fatal(err)
		}
		w.keys = keys
		manifest := []byte(w.side[layout.Manifest])
		m, err := release.ParseManifest(manifest)
		if err != nil {
			t.Fatal(err)
		}
		all, err := release.SignAll(secrets[:signers], func(key release.SecretKey) ([]byte, error) {
			return release.Sign(key, bytes.NewReader(manifest), m.Comment(), "test")
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			w.side[layout.ManifestSignature+s.Suffix] = string(s.Text)
		}
		if signers == 1 {
			w.refused("verify the manifest", "manifest.json: too few signatures by different trusted keys: 1 of 2")
		} else if err := w.boot("psyopsos=psyopsOS-A"); err != nil {
			t.Error(err)
		}
	}
}

func TestVerifyOffAndWarnAreForTheBench(t *testing.T) {
	for _, word := range []string{"warn", "off"} {
		w := newWorld(t)
		w.side[layout.Squashfs] = "another one"
		delete(w.side, layout.ManifestSignature)
		if err := w.boot("psyopsos=psyopsOS-A psyopsos.verify=" + word); err != nil {
			t.Errorf("verify=%s: %v", word, err)
		}
		if w.warnings() == "" {
			t.Errorf("verify=%s says nothing of it", word)
		}
	}
}
