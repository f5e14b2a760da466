//go:build qemu

package qemutests

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"psyopsOS/image"
	"psyopsOS/image/base"
	"psyopsOS/image/debian"
	"psyopsOS/image/testos"
	"psyopsOS/image/tree"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// A publisher makes releases of what tk has built for the tests' disk, with
// one part changed, signs them with the same key, and serves them as a
// repository that the guest reaches on QEMU's user network.
type publisher struct {
	t       testing.TB
	dir     string
	address string
	key     release.SecretKey
	members map[string]string // what every release has
	newest  time.Time         // the disk's release at first
}

// A part is one change to a release: of the files that become its members.
type part func(p *publisher, members map[string]string)

func newPublisher(t testing.TB) *publisher {
	t.Helper()
	i := images(t)
	stages := filepath.Dir(filepath.Dir(i.Disk))
	old, err := filepath.Glob(filepath.Join(stages, "ostar", "psyopsOS.*.tar"))
	if err != nil || len(old) != 1 {
		t.Fatalf("the disk image's release: %q, %v", old, err)
	}
	name, err := release.ParseName(filepath.Base(old[0]))
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{t: t, dir: t.TempDir(), key: buildKey(t), members: map[string]string{}}
	if p.newest, err = release.VersionTime(name.Version); err != nil {
		t.Fatal(err)
	}
	for stage, names := range map[string][]string{
		"kernel":    {layout.Kernel, layout.KernelVersion, layout.SystemMap, layout.KernelConfig, layout.Modloop},
		"initramfs": {layout.Initramfs},
		"squashfs":  {layout.Squashfs, layout.UserlandVersion},
	} {
		for _, name := range names {
			p.members[name] = filepath.Join(stages, stage, name)
		}
	}
	server := httptest.NewServer(http.FileServer(http.Dir(p.dir)))
	t.Cleanup(server.Close)
	p.address = strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1)
	return p
}

// publishes makes a release that is a minute newer than the last one, and
// gives its version.
func (p *publisher) publishes(parts ...part) string {
	p.t.Helper()
	return p.signs(func(o *image.OSTarOptions) {
		for _, change := range parts {
			if change != nil {
				change(p, o.Members)
			}
		}
	})
}

// signs is publishes for changes to anything about a release.
func (p *publisher) signs(change ...func(*image.OSTarOptions)) string {
	p.t.Helper()
	p.newest = p.newest.Add(time.Minute)
	o := image.OSTarOptions{Members: maps.Clone(p.members), Version: release.Version(p.newest), Architecture: "x86_64",
		Kernel: images(p.t).KernelVersion, Userland: "testos 1", Key: p.key, Now: p.newest, Dir: p.dir}
	for _, change := range change {
		change(&o)
	}
	r, err := image.OSTar(p.t.Context(), o, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	latest := filepath.Join(p.dir, release.LatestSignature(release.OS, "x86_64"))
	if err := os.Symlink(filepath.Base(r.Signature), latest+".new"); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(latest+".new", latest); err != nil {
		p.t.Fatal(err)
	}
	return o.Version
}

// file writes a part's file.
func (p *publisher) file(name string, content []byte) string {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// smallUserland is testos without sshd and Nebula: a third of the size.
var smallUserland = sync.OnceValues(func() (userland *tree.Tree, err error) {
	err = step.Run(context.Background(), func(step.Event) {}, func() time.Duration { return 0 },
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
			userland, err = testos.Build(packages, files)
			return err
		}})
	return userland, err
})

// root is a root file system with these files on top, by path. What begins
// with #! may be run; a file of /etc/init.d is a service of the runlevel that
// the second map names.
func root(files map[string]string, runlevels map[string]string) part {
	return func(p *publisher, members map[string]string) {
		p.t.Helper()
		userland, err := smallUserland()
		if err != nil {
			p.t.Fatal(err)
		}
		ours, err := base.Overlay()
		if err != nil {
			p.t.Fatal(err)
		}
		extra := tree.New()
		for name, content := range files {
			mode := os.FileMode(0o644)
			if strings.HasPrefix(content, "#!") {
				mode = 0o755
			}
			if err := extra.AddFile(name, mode, content); err != nil {
				p.t.Fatal(err)
			}
		}
		for service, level := range runlevels {
			if err := extra.Add("etc/runlevels/"+level+"/"+service, tree.Symlink("/etc/init.d/"+service)); err != nil {
				p.t.Fatal(err)
			}
		}
		public := read(p.t, filepath.Join(out, "keys", "development.pub"))
		members[layout.Squashfs] = filepath.Join(p.t.TempDir(), layout.Squashfs)
		err = image.Squashfs(p.t.Context(), image.SquashfsOptions{Userland: userland, Overlays: []*tree.Tree{ours, extra},
			PublicKey: public, Keys: map[string][]byte{"development.pub": public}, Upgrade: filepath.Join(out, "stages/init/init"),
			Time: p.newest, Out: members[layout.Squashfs]})
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// initIs has the initramfs start another program, with the real init beside it
// as /init.real.
func initIs(source string) part {
	return func(p *publisher, members map[string]string) {
		p.t.Helper()
		dir := p.t.TempDir()
		for name, content := range map[string]string{"go.mod": "module other\n\ngo 1.26\n", "main.go": source} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				p.t.Fatal(err)
			}
		}
		cmd := exec.Command("go", "build", "-o", "other", ".")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if output, err := cmd.CombinedOutput(); err != nil {
			p.t.Fatalf("%v: %s", err, output)
		}
		records := withProgram(p.t, "init", filepath.Join(dir, "other"), "init.real")(initramfsRecords(p.t, members[layout.Initramfs]))
		members[layout.Initramfs] = p.file(layout.Initramfs, packed(p.t, records))
	}
}

// initWithFaults has an init that obeys psyopsos.fault=.
func initWithFaults(p *publisher, members map[string]string) {
	p.t.Helper()
	program := filepath.Join(p.t.TempDir(), "init")
	if err := image.BuildInit(p.t.Context(), "..", "faults", program, "faults"); err != nil {
		p.t.Fatal(err)
	}
	records := withProgram(p.t, "init", program, "")(initramfsRecords(p.t, members[layout.Initramfs]))
	members[layout.Initramfs] = p.file(layout.Initramfs, packed(p.t, records))
}

// foreignModloop is the modloop of another kernel.
func foreignModloop(p *publisher, members map[string]string) {
	p.t.Helper()
	dir := filepath.Join(p.t.TempDir(), "modloop")
	modules := filepath.Join(dir, "modules/6.12.0-other")
	if err := os.MkdirAll(modules, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(modules, "modules.dep"), []byte("kernel/drivers/net/dummy.ko:\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	members[layout.Modloop] = filepath.Join(p.t.TempDir(), layout.Modloop)
	run(p.t, "mksquashfs", dir, members[layout.Modloop], "-quiet", "-no-progress", "-comp", "zstd", "-all-root")
}
