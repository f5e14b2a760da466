//go:build qemu

package qemutests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"psyopsOS/deaddrop"
	"psyopsOS/image/debian"
	"psyopsOS/image/testos"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// A publisher has tk make releases, signed with the key of the tests' disk, and
// serves them as a repository that the guest reaches on QEMU's user network.
type publisher struct {
	t       testing.TB
	out     string // where tk builds
	dir     string // the deaddrop
	address string // of its releases
	newest  time.Time
}

// A part is how a release differs from others, in flags of tk mkimage.
type part func(t testing.TB) (flags []string)

func newPublisher(t testing.TB) *publisher {
	t.Helper()
	images(t)
	p := &publisher{t: t, out: t.TempDir(), dir: t.TempDir(), newest: builtAt(t)}
	p.address = serve(t, filepath.Join(p.dir, deaddrop.Releases))
	// What releases do not differ in is there already.
	stages := filepath.Join(p.out, "stages")
	if err := os.Mkdir(stages, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"init", "commands", "kernel", "initramfs"} {
		run(t, "cp", "-a", filepath.Join(out, "stages", stage), stages)
	}
	return p
}

// builtAt is the time of the disk's release.
func builtAt(t testing.TB) time.Time {
	t.Helper()
	tars, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(images(t).Disk)), "ostar", "psyopsOS.*.tar"))
	if err != nil || len(tars) != 1 {
		t.Fatalf("the disk image's release: %q, %v", tars, err)
	}
	name, err := release.ParseName(filepath.Base(tars[0]))
	if err != nil {
		t.Fatal(err)
	}
	built, err := release.VersionTime(name.Version)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// publishes makes a release, of the small userland if the parts say nothing of
// that, and gives its version: a second after the last one's, since tk signs
// none of the future.
func (p *publisher) publishes(parts ...part) string {
	p.t.Helper()
	began := time.Now()
	p.newest = p.newest.Add(time.Second)
	userland, err := smallUserland()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(tkBinary(p.t), "mkimage", "ostar-dd", "--quiet", "--out", p.out, "--dir", p.dir,
		"--sign-key", developmentKey(p.t), "--userland", "tar:"+userland)
	for _, part := range parts {
		if part != nil {
			cmd.Args = append(cmd.Args, part(p.t)...)
		}
	}
	cmd.Env = append(os.Environ(), "PSYOPSOS_CONFIG=none", fmt.Sprint("SOURCE_DATE_EPOCH=", p.newest.Unix()))
	if said, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %v\n%s", cmd.Args, err, said)
	}
	p.t.Logf("tk made a release in %.1f s", time.Since(began).Seconds())
	return release.Version(p.newest)
}

// developmentKey is the file of the key that signs the tests' disk.
func developmentKey(t testing.TB) string {
	t.Helper()
	name, err := filepath.Abs(filepath.Join(out, "keys", "development.key"))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// smallUserland is a tar of testos without sshd and Nebula: a third of the size.
var smallUserland = sync.OnceValues(func() (name string, err error) {
	if name, err = filepath.Abs(filepath.Join(out, "small.tar")); err != nil {
		return "", err
	}
	return name, step.Run(context.Background(), func(step.Event) {}, func() time.Duration { return 0 },
		step.Step{Name: "make the small userland", Do: func(ctx context.Context, r *step.Reporter) error {
			cache, err := debian.DefaultCache()
			if err != nil {
				return err
			}
			apt := debian.New(cache)
			packages, err := apt.Resolve(ctx, testos.Request(testos.Base))
			if err != nil {
				return err
			}
			files, err := apt.Fetch(ctx, r, packages...)
			if err != nil {
				return err
			}
			userland, err := testos.Build(packages, files)
			if err != nil {
				return err
			}
			f, err := os.Create(name)
			if err != nil {
				return err
			}
			return errors.Join(userland.WriteTar(f, time.Unix(0, 0)), f.Close())
		}})
})

// root has these files over the userland, by path. What begins with #! may be
// run.
func root(files map[string]string, services ...string) part {
	return func(t testing.TB) (flags []string) {
		t.Helper()
		overlay := t.TempDir()
		for name, content := range files {
			mode := os.FileMode(0o644)
			if strings.HasPrefix(content, "#!") {
				mode = 0o755
			}
			name = filepath.Join(overlay, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), mode)); err != nil {
				t.Fatal(err)
			}
		}
		for _, service := range services {
			flags = append(flags, "--service", service)
		}
		return append(flags, "--overlay", overlay)
	}
}

// replaced has a file in the place of a member.
func replaced(member, file string) part {
	return func(testing.TB) []string { return []string{"--replace", member + "=" + file} }
}

// replacedBy is the same for what is not yet in a file.
func replacedBy(t testing.TB, member string, content []byte) []string {
	t.Helper()
	name := filepath.Join(t.TempDir(), member)
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return replaced(member, name)(t)
}

// initIs has the initramfs start another program, with the real init beside it
// as /init.real.
func initIs(source string) part {
	return func(t testing.TB) []string {
		t.Helper()
		dir := t.TempDir()
		for name, content := range map[string]string{"go.mod": "module other\n\ngo 1.26\n", "main.go": source} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("go", "build", "-o", "other", ".")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		records := withProgram(t, "init", filepath.Join(dir, "other"), "init.real")(initramfsRecords(t, images(t).Initramfs))
		return replacedBy(t, layout.Initramfs, packed(t, records))
	}
}

// initWithFaults has an init that obeys psyopsos.fault=.
func initWithFaults(t testing.TB) []string {
	t.Helper()
	i, err := withFaults(t)()
	if err != nil {
		t.Fatal(err)
	}
	return replaced(layout.Initramfs, i.Initramfs)(t)
}

// foreignModloop is the modloop of another kernel.
func foreignModloop(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	modules, squashfs := filepath.Join(dir, "root/modules/6.12.0-other"), filepath.Join(dir, "squashfs")
	if err := os.MkdirAll(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(modules, "modules.dep"), []byte("kernel/drivers/net/dummy.ko:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "mksquashfs", filepath.Join(dir, "root"), squashfs, "-quiet", "-no-progress", "-comp", "zstd", "-all-root")
	return replaced(layout.Modloop, squashfs)(t)
}
