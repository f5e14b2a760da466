package upgrade

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// oldBundle is a release as the first psyopsOS made it: no manifest, no size,
// and a name of its time.
func oldBundle(t testing.TB, version string, change func(members map[string][]byte)) bundle {
	t.Helper()
	b := makeBundle(t, version)
	change(b.members)
	b.info.Filename, b.info.Size, b.info.Architecture = "psyopsOS.grubusb.os."+version+".tar", 0, ""
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range b.members {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, secret := pair()
	b.tar = out.Bytes()
	var err error
	if b.sig, err = release.Sign(secret, bytes.NewReader(b.tar), b.info.Comment(), "test"); err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *world) offer(b bundle) {
	w.t.Helper()
	for name, content := range map[string][]byte{b.info.Filename: b.tar, b.info.Filename + ".minisig": b.sig} {
		if err := os.WriteFile(filepath.Join(w.repo, name), content, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestAReleaseWithoutAManifestIsVerifiedWhole(t *testing.T) {
	w := newWorld(t)
	old := oldBundle(t, v2, func(m map[string][]byte) { m["dtbs/board.dtb"] = []byte("tree") })
	w.offer(old)
	_, stderr := w.applies("--os-version", v2)
	has(t, stderr, "it has no manifest, and is verified whole", "Updated nonbooted side psyopsOS-B")
	dir := filepath.Join(w.root, layout.MountSideB)
	for name, content := range old.members {
		if got := readFile(t, filepath.Join(dir, name)); !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(content))
		}
	}
	if err := bootstate.CheckSide(os.DirFS(dir)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, layout.Manifest)); err == nil {
		t.Error("the manifest of the release before is still there")
	}
	out, _ := w.must(0, "show")
	has(t, out, "filename: psyopsOS.grubusb.os."+v2+".tar")
	if s := w.state(); s.Try != layout.SideB {
		t.Errorf("the state is %+v", s)
	}
}

func TestAReleaseWithoutAManifestThatIsNotWhatWasSignedGetsNoName(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(map[string][]byte)
		spoil  func(*bundle)
		want   string
	}{
		{"a changed byte", func(map[string][]byte) {}, func(b *bundle) { b.tar[5000]++ }, "contents are not what key"},
		{"cut off", func(map[string][]byte) {}, func(b *bundle) { b.tar = b.tar[:len(b.tar)-1024] }, "contents are not what key"},
		{"no squashfs", func(m map[string][]byte) { delete(m, layout.Squashfs) }, func(*bundle) {}, "no squashfs: it would not boot"},
		{"a file of another kind", func(m map[string][]byte) { m["../x"] = []byte("x") }, func(*bundle) {}, "no member of a release"},
		{"a signature of its own", func(m map[string][]byte) { m[layout.OSTarSignature] = []byte("x") }, func(*bundle) {}, "no member of a release"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			b := oldBundle(t, v2, test.change)
			test.spoil(&b)
			w.offer(b)
			_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo, "--os-version", v2)
			has(t, stderr, test.want)
			for _, name := range []string{layout.Kernel, layout.Squashfs, layout.BootSum, layout.OSTarSignature} {
				if _, err := os.Stat(filepath.Join(w.root, layout.MountSideB, name)); err == nil {
					t.Errorf("%s has its name", name)
				}
			}
			if s := w.state(); s.Try != "" {
				t.Errorf("the state is %+v", s)
			}
		})
	}
}

// A release of ours whose manifest was taken away is none of the first
// psyopsOS: its signature names its size.
func TestAReleaseOfOursWantsItsManifest(t *testing.T) {
	w := newWorld(t)
	b := oldBundle(t, v2, func(map[string][]byte) {})
	b.info.Size = int64(len(b.tar))
	_, secret := pair()
	var err error
	if b.sig, err = release.Sign(secret, bytes.NewReader(b.tar), b.info.Comment(), "test"); err != nil {
		t.Fatal(err)
	}
	w.offer(b)
	_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo, "--os-version", v2)
	has(t, stderr, "where manifest.json belongs")
	if err := bootstate.CheckSide(os.DirFS(filepath.Join(w.root, layout.MountSideB))); err != nil {
		t.Errorf("the side was touched: %v", err)
	}
}
