package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"psyopsOS/image"
	"psyopsOS/image/base"
	"psyopsOS/image/oci"
	"psyopsOS/image/oci/ocitest"
	"psyopsOS/image/stage"
	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// inStage runs f as a stage, and gives the warnings that it told.
func inStage(t *testing.T, f func(ctx context.Context, w *stage.Work) error) (warnings []string, err error) {
	t.Helper()
	g, err := stage.New(t.TempDir(), 1, stage.Stage{Name: "test", Run: f})
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.Build(t.Context(), &step.Runner{Now: func() time.Duration { return 0 }, Sink: func(e step.Event) {
		if e.Kind == step.Warning {
			warnings = append(warnings, e.Message)
		}
	}}, "test")
	return warnings, err
}

func boxedRoot() []ocitest.Entry {
	return []ocitest.Entry{
		ocitest.File(".dockerenv", 0o644, ""), ocitest.File("etc/os-release", 0o644, "ID=boxed\nVERSION_ID=7\n"),
		ocitest.File("var/lib/dpkg/status", 0o644, "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n"),
		ocitest.File("sbin/init", 0o755, "init"), ocitest.Dir("var/lib/rpm", 0o755), ocitest.File("var/lib/rpm/Packages", 0o644, "sqlite"),
	}
}

func TestAUserlandThatSomebodyElseMade(t *testing.T) {
	dir := t.TempDir()
	root := ocitest.Tar(t, boxedRoot()...)
	plain := filepath.Join(dir, "root.tar")
	if err := os.WriteFile(plain, root, 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("sh", "-c", `cd "$1" && gzip -k root.tar && xz -k root.tar && zstd -q root.tar`, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	layout := ocitest.Layout(t, filepath.Join(dir, "box"), map[string]v1.Image{"one": ocitest.Image(t, "amd64", root)})
	for _, u := range []userland{tarUserland(plain), tarUserland(plain + ".gz"), tarUserland(plain + ".xz"), tarUserland(plain + ".zst"),
		ociUserland{layout, oci.Options{}}, ociUserland{layout + ":one", oci.Options{}}} {
		t.Run(u.id(), func(t *testing.T) {
			var made image.Userland
			warnings, err := inStage(t, func(ctx context.Context, w *stage.Work) (err error) {
				made, err = u.build(ctx, w, nil)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if made.Name != "boxed 7" || !made.Tree.Has("sbin/init") || made.Tree.Has(".dockerenv") {
				t.Errorf("got %+v", made)
			}
			want := []image.Package{{Type: "deb", Distro: "boxed", Name: "libc6", Version: "2.36", Arch: "amd64"}}
			if !slices.Equal(made.Packages, want) {
				t.Errorf("got %+v, want %+v", made.Packages, want)
			}
			if len(warnings) != 1 || !strings.Contains(warnings[0], "var/lib/rpm/Packages") {
				t.Errorf("warnings: %q", warnings)
			}
		})
	}
	if err := os.WriteFile(plain+".gz", read(t, plain+".gz")[:200], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := inStage(t, func(ctx context.Context, w *stage.Work) error {
		_, err := tarUserland(plain+".gz").build(ctx, w, nil)
		return err
	}); err == nil || !strings.Contains(err.Error(), "root.tar.gz") {
		t.Errorf("half a tar: %v", err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(content)
}

func TestWhatAUserlandWithoutOpenRCGetsIsTold(t *testing.T) {
	with, without := tree.New(), tree.New()
	for _, x := range []*tree.Tree{with, without} {
		if err := x.AddFile("sbin/init", 0o755, "init"); err != nil {
			t.Fatal(err)
		}
	}
	if err := with.AddFile("sbin/openrc", 0o755, "openrc"); err != nil {
		t.Fatal(err)
	}
	ours := func() ([]*tree.Tree, error) {
		t, err := base.Overlay()
		return []*tree.Tree{t}, err
	}
	for _, c := range []struct {
		name          string
		tree          *tree.Tree
		services      []image.Service
		overlays      int
		warning, want string
	}{
		{"with OpenRC", with, []image.Service{{Name: "x", Level: "default"}}, 1, "", ""},
		{"without", without, nil, 0, "has no OpenRC", ""},
		{"without, and a service", without, []image.Service{{Name: "x", Level: "default"}}, 0, "", "no OpenRC that would start it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			warnings, err := inStage(t, func(_ context.Context, w *stage.Work) error {
				overlays, err := project{services: c.services}.baseFor(w, image.Userland{Tree: c.tree}, ours)
				if len(overlays) != c.overlays {
					t.Errorf("%d overlays", len(overlays))
				}
				return err
			})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got := strings.Join(warnings, "\n"); (got == "") != (c.warning == "") || !strings.Contains(got, c.warning) {
				t.Errorf("warned %q, want %q", got, c.warning)
			}
		})
	}
}

func TestTheProgramThatTheKernelIsToldToStart(t *testing.T) {
	for words, want := range map[string]string{"": "", "quiet init=/bin/sh": "/bin/sh", "init=/a init=/b": "/b"} {
		if got := (project{append: words}).initWord(); got != want {
			t.Errorf("%q: got %q, want %q", words, got, want)
		}
	}
}
