package upgrade

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/step"
)

// Whatever a tar says of itself, nothing is written beside the side, and on it
// nothing but what a release may have.
func FuzzTar(f *testing.F) {
	b := makeBundle(f, v2, func(b *bundle) {
		for name := range b.members {
			b.members[name] = []byte("x")
		}
		for i := range b.manifest.Files {
			b.manifest.Files[i].Size = 1
			b.manifest.Files[i].SHA256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
		}
	})
	f.Add(b.tar)
	f.Add(bytes.Replace(b.tar, []byte("kernel\x00"), []byte("../../x"), 1))
	f.Add(bytes.Replace(b.tar, []byte("modloop\x00"), []byte("dtbs/../x"[:8]), 1))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 64<<10 {
			return
		}
		root := t.TempDir()
		side, tar := filepath.Join(root, "side"), filepath.Join(root, "os.tar")
		for _, err := range []error{os.Mkdir(side, 0o755), os.WriteFile(tar, content, 0o600), os.WriteFile(tar+".minisig", b.sig, 0o600)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		found, err := repo.File(context.Background(), release.Anyone(), tar)
		if err != nil {
			t.Fatal(err)
		}
		p := Plan{Request: Request{Target: "b", Release: b.info, Architecture: "x86_64"},
			Side: Side{Volume: Volume{Label: string(layout.SideB), MountPoint: side, Mock: true}, Room: 1 << 30}, Booted: layout.SideA}
		steps := p.Steps(Env{Root: root}.withDefaults(), found, release.Anyone())
		// Most are refused: what they leave behind is asked for.
		_ = step.Run(context.Background(), func(step.Event) {}, func() time.Duration { return 0 }, steps...)
		err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if at, _ := filepath.Rel(root, name); err == nil && d.Type().IsRegular() && filepath.Dir(at) != "side" && filepath.Dir(at) != "." && !strings.HasPrefix(at, "side/"+layout.DeviceTrees+"/") {
				t.Errorf("%s was written", at)
			}
			return err
		})
		entries, _ := os.ReadDir(root)
		if err != nil || len(entries) != 3 {
			t.Errorf("beside the side there are %v, %v", entries, err)
		}
	})
}
