//go:build qemu

package qemutests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/image/debian"
	"psyopsOS/image/testos"
	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// makeAlpineSite makes what a user has: a repository in site/theirs with its
// public key beside it, a world file, an overlay.
func makeAlpineSite(site string) error {
	// The lock and the cache of the last time are of another key's packages.
	if err := os.RemoveAll(site); err != nil {
		return err
	}
	signer, err := alpinetest.NewSigner("theirs.rsa.pub")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"world":                      "alpine-base\nopenssh-server\nbusybox-suid=1.35.0-r4\ndemo-daemon\npsyopsOS-base@ours\nneuralupgrade@ours\n",
		"overlay/etc/init.d/greeter": "#!/sbin/openrc-run\nstart() {\n\tebegin \"Greeting\"\n\techo 'hello from the overlay' > /run/greeting\n\teend 0\n}\n",
	} {
		name = filepath.Join(site, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o755)); err != nil {
			return err
		}
	}
	var userland, kernel *tree.Tree
	err = step.Run(context.Background(), step.Lines(os.Stderr, "", step.Normal), func() time.Duration { return 0 },
		step.Step{Name: "make an Alpine repository", Do: func(ctx context.Context, r *step.Reporter) error {
			userland, kernel, err = debianFiles(ctx, r)
			return err
		}})
	if err != nil {
		return err
	}
	w := repositoryWriter{dir: filepath.Join(site, "theirs"), signer: signer, provides: map[string]string{}}
	for _, do := range []func() error{func() error { return w.split(userland) }, w.demo, func() error { return w.kernel(kernel) }, w.firmware} {
		if err := do(); err != nil {
			return err
		}
	}
	key, err := alpine.RenderKey(&signer.Key.PublicKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, signer.Name), key, 0o644); err != nil {
		return err
	}
	return alpinetest.Index(w.dir, signer, w.made...)
}

// debianFiles are testos and the kernel for virtual machines.
func debianFiles(ctx context.Context, r *step.Reporter) (userland, kernel *tree.Tree, err error) {
	cache, err := debian.DefaultCache()
	if err != nil {
		return nil, nil, err
	}
	apt := debian.New(cache)
	packages, err := apt.Resolve(ctx, testos.Request(testos.Node))
	if err != nil {
		return nil, nil, err
	}
	files, err := apt.Fetch(ctx, r, packages...)
	if err != nil {
		return nil, nil, err
	}
	if userland, err = testos.Build(packages, files); err != nil {
		return nil, nil, err
	}
	image, err := apt.Kernel(ctx, "linux-image-cloud-amd64")
	if err != nil {
		return nil, nil, err
	}
	if files, err = apt.Fetch(ctx, r, image); err != nil {
		return nil, nil, err
	}
	kernel, err = debian.Unpack(files[0], nil)
	return userland, kernel, err
}

// alpinePackageCount is how many packages the world below leads to: those of
// alpineParts, and busybox-suid, demo-daemon with its subpackage, alpine-base,
// neuralupgrade, psyopsOS-base.
const alpinePackageCount = 16

// An alpinePart says which files of the userland are in one package.
type alpinePart struct {
	name, version string
	files         []string // paths, or folders with all that is in them
	depends       string
	installIf     string
	scripts       map[string]string
}

// alpineParts takes testos apart as Alpine's packages are cut: services in
// subpackages that come with install_if, accounts made by scripts. A file is
// in the first part that names it; "." is the rest.
func alpineParts() []alpinePart {
	busybox := "#!/bin/busybox sh\n\n# essential stuff: create all links\n/bin/busybox mkdir -p /usr/bin /usr/sbin\n/bin/busybox --install -s\n\nexit 0\n"
	return []alpinePart{
		{name: "busybox", version: "1.35.0-r4", files: []string{"bin/busybox"}, scripts: map[string]string{"post-install": busybox}},
		{name: "busybox-static", version: "1.35.0-r4", files: []string{"bin/busybox.static"}},
		{name: "busybox-openrc", version: "1.35.0-r4", files: []string{"etc/init.d/syslog", "etc/conf.d/syslog"}, installIf: "openrc busybox=1.35.0-r4"},
		{name: "busybox-mdev-openrc", version: "1.35.0-r4", files: []string{"etc/init.d/mdev", "etc/mdev.conf"}, depends: "busybox openrc"},
		{name: "openssh-server-openrc", version: "9.2_p1-r1", files: []string{"etc/init.d/sshd"}, installIf: "openrc openssh-server=9.2_p1-r1"},
		{name: "openssh-server", version: "9.2_p1-r1", files: []string{"usr/sbin/sshd", "usr/bin/ssh-keygen", "etc/ssh", "usr/lib/openssh"},
			scripts: map[string]string{"pre-install": "#!/bin/sh\n\naddgroup -S -g 22 sshd 2>/dev/null\nadduser -S -H -h /run/sshd -s /sbin/nologin -D -G sshd -g sshd sshd 2>/dev/null\n\nexit 0\n"}},
		{name: "unused-clients", version: "1-r0", files: []string{"usr/bin/ssh", "usr/bin/scp", "usr/bin/sftp", "usr/bin/nebula", "usr/bin/nebula-cert", "etc/nebula"}},
		{name: "libs-of-debian", version: "12-r0", files: []string{"lib/x86_64-linux-gnu", "lib64", "usr/lib/x86_64-linux-gnu", "etc/ld.so.conf.d"}},
		{name: "alpine-baselayout", version: "3.6.5-r0", depends: "busybox", files: []string{"etc/passwd", "etc/group", "etc/shadow", "etc/inittab", "etc/fstab",
			"etc/mtab", "etc/hosts", "etc/hostname", "etc/profile", "etc/profile.d", "etc/shells", "etc/motd", "etc/issue", "etc/network", "etc/modules", "var", "tmp",
			"root", "proc", "sys", "run", "mnt", "media", "home", "opt", "srv", "usr/local", "usr/libexec"}},
		{name: "openrc", version: "0.45.2-r2", files: []string{"."}, depends: "busybox-static",
			scripts: map[string]string{"post-install": "#!/bin/sh\n\n# migrate\nif [ -L /etc/init.d/functions.sh ]; then\n\trm /etc/init.d/functions.sh\nfi\n"}},
	}
}

// A repositoryWriter makes packages one by one.
type repositoryWriter struct {
	dir      string
	signer   alpine.Signer
	made     []alpine.Package
	provides map[string]string // library → package
}

// split makes packages of a userland's files.
func (w *repositoryWriter) split(userland *tree.Tree) error {
	applets := map[string][]string{}
	trees := map[string]*tree.Tree{}
	for name, n := range userland.All() {
		program, isApplet := strings.CutPrefix(n.Target, "/bin/busybox")
		switch {
		case isApplet:
			applets["busybox"+program] = append(applets["busybox"+program], "/"+name)
			continue
		case name == ".", strings.HasPrefix(name, "dev"), strings.HasPrefix(name, "etc/runlevels"):
			continue // the installer's business
		}
		if name == "etc/passwd" || name == "etc/group" || name == "etc/shadow" {
			var err error
			if n, err = withoutLines(n, "sshd:"); err != nil {
				return err
			}
		}
		part := partOf(name)
		if trees[part] == nil {
			trees[part] = tree.New()
		}
		if err := trees[part].Add(name, n); err != nil {
			return err
		}
	}
	for program, paths := range applets {
		slices.Sort(paths)
		part := partOf("bin/" + program)
		if err := trees[part].AddFile("etc/busybox-paths.d/"+program, 0o644, strings.Join(paths, "\n")+"\n"); err != nil {
			return err
		}
	}
	for _, t := range trees {
		t.RemoveFunc(func(name string, _ *tree.Node) bool { return name == "etc/os-release" })
	}
	for _, p := range alpineParts() {
		for name, n := range trees[p.name].All() {
			if n.Mode.IsRegular() && strings.Contains(path.Base(name), ".so") || n.Target != "" && strings.Contains(name, ".so.") {
				w.provides[path.Base(name)] = p.name
			}
		}
	}
	for _, p := range alpineParts() {
		if err := w.part(p, trees[p.name]); err != nil {
			return err
		}
	}
	release := tree.New()
	if err := release.AddFile("etc/os-release", 0o644, "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.99.1\nPRETTY_NAME=\"an Alpine that a test made\"\n"); err != nil {
		return err
	}
	if err := w.part(alpinePart{name: "alpine-release", version: "3.99.1-r0"}, release); err != nil {
		return err
	}
	return w.part(alpinePart{name: "alpine-base", version: "3.99.1-r0", depends: "alpine-baselayout alpine-release busybox busybox-mdev-openrc openrc"}, tree.New())
}

func partOf(name string) string {
	for _, p := range alpineParts() {
		for _, file := range p.files {
			if name == file || strings.HasPrefix(name, file+"/") || file == "." {
				return p.name
			}
		}
	}
	return ""
}

func withoutLines(n *tree.Node, prefix string) (*tree.Node, error) {
	content, err := n.Content()
	var kept []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, prefix) {
			kept = append(kept, line)
		}
	}
	return tree.File(n.Mode, []byte(strings.Join(kept, ""))), err
}

// part makes one package, with the libraries that its programs want.
func (w *repositoryWriter) part(p alpinePart, t *tree.Tree) error {
	pkg := alpine.Package{Name: p.name, Version: p.version, Arch: "x86_64", Origin: p.name, License: "various", Description: "repackaged for a test",
		Depends: alpinetest.Dependencies(p.depends), InstallIf: alpinetest.Dependencies(p.installIf)}
	needs := map[string]bool{}
	for _, n := range t.All() {
		for _, library := range librariesOf(n) {
			if by := w.provides[library]; by != "" && by != p.name {
				needs["so:"+library] = true
			}
		}
	}
	pkg.Depends = append(pkg.Depends, alpinetest.Dependencies(strings.Join(slices.Sorted(maps.Keys(needs)), " "))...)
	for _, library := range slices.Sorted(maps.Keys(w.provides)) {
		if w.provides[library] == p.name {
			pkg.Provides = append(pkg.Provides, alpine.Dependency{Name: "so:" + library, Operator: "=", Version: "1"})
		}
	}
	scripts := map[string][]byte{}
	for name, text := range p.scripts {
		scripts[name] = []byte(text)
	}
	file, described, err := alpine.Pack(pkg, t, scripts, w.signer)
	if err != nil {
		return err
	}
	return w.put(file, described)
}

func (w *repositoryWriter) put(file []byte, described alpine.Package) error {
	w.made = append(w.made, described)
	return alpinetest.Put(w.dir, described.File(), file)
}

func librariesOf(n *tree.Node) []string {
	if !n.Mode.IsRegular() || n.Mode&fs.ModePerm&0o111 == 0 && n.Size < 4096 {
		return nil
	}
	content, err := n.Content()
	if err != nil {
		return nil
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return nil
	}
	return libraries
}

// demo makes a daemon with an account of its own, as abuild packs one: owners
// have names, and the numbers of the machine that packed it. And a setuid
// program.
func (w *repositoryWriter) demo() error {
	owned := tar.Header{Uname: "demo", Gname: "demo", Uid: 1000, Gid: 300}
	home, data := owned, owned
	home.Typeflag, home.Name, home.Mode = tar.TypeDir, "var/lib/demo/", 0o2750
	data.Typeflag, data.Name, data.Mode = tar.TypeReg, "var/lib/demo/state", 0o640
	daemon := alpinetest.New("demo-daemon", "1.0-r0", w.signer).
		File("usr/bin/demod", 0o755, "#!/bin/sh\nexec sleep 100000\n").Add(home).Add(data)
	daemon.Scripts["pre-install"] = "#!/bin/sh\naddgroup -S demo 2>/dev/null\nadduser -S -D -H -h /var/lib/demo -s /sbin/nologin -G demo -g demo demo 2>/dev/null\nexit 0\n"
	service := alpinetest.New("demo-daemon-openrc", "1.0-r0", w.signer).File("etc/init.d/demod", 0o755, "#!/sbin/openrc-run\ncommand=/usr/bin/demod\ncommand_user=demo:demo\ncommand_background=true\npidfile=/run/demod.pid\n").
		Add(tar.Header{Typeflag: tar.TypeSymlink, Name: "etc/runlevels/default/demod", Linkname: "/etc/init.d/demod", Uname: "root", Gname: "root", Mode: 0o777})
	service.InstallIf = alpinetest.Dependencies("openrc demo-daemon=1.0-r0")
	static := w.find("busybox-static")
	suid := alpinetest.New("busybox-suid", static.Version, w.signer)
	content, err := w.contentOf(static, "bin/busybox.static")
	if err != nil {
		return err
	}
	suid = suid.File("bin/bbsuid", 0o4111, content)
	for _, p := range []alpinetest.Package{daemon, service, suid} {
		file, described, err := p.Build()
		if err == nil {
			err = w.put(file, described)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *repositoryWriter) find(name string) alpine.Package {
	return w.made[slices.IndexFunc(w.made, func(p alpine.Package) bool { return p.Name == name })]
}

func (w *repositoryWriter) contentOf(p alpine.Package, name string) (string, error) {
	f, err := alpine.Open(filepath.Join(w.dir, p.Arch, p.File()), p)
	if err != nil {
		return "", err
	}
	t, _, err := f.Unpack(nil)
	if err != nil {
		return "", err
	}
	content, err := fs.ReadFile(t.FS(), name)
	return string(content), err
}

// kernel lays Debian's kernel out as Alpine's packages are: named by flavour,
// modules compressed.
func (w *repositoryWriter) kernel(from *tree.Tree) error {
	t := tree.New()
	for name, n := range from.All() {
		dir, base := path.Split(name)
		var err error
		switch stem, _, _ := strings.Cut(base, "-"); {
		case dir == "boot/" && n.Mode.IsRegular():
			flavour := base[strings.LastIndex(base, "-")+1:]
			err = t.Add("boot/"+stem+"-"+flavour, n)
		case strings.HasSuffix(base, ".ko"):
			var packed *tree.Node
			if packed, err = gzipped(n); err == nil {
				err = t.Add(name+".gz", packed)
			}
		case strings.HasPrefix(name, "lib/modules/") && n.Mode.IsRegular():
			err = t.Add(name, n)
		}
		if err != nil {
			return fmt.Errorf("kernel: %s: %w", name, err)
		}
	}
	return w.part(alpinePart{name: "linux-cloud", version: "6.1.0-r0", depends: "mkinitfs linux-firmware-any"}, t)
}

func gzipped(n *tree.Node) (*tree.Node, error) {
	content, err := n.Content()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	_, err = z.Write(content)
	err = errors.Join(err, z.Close())
	return tree.File(0o644, b.Bytes()), err
}

// firmware is what modules of the cloud kernel name, compressed and not, and
// something that none does.
func (w *repositoryWriter) firmware() error {
	t := tree.New()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	if err := t.AddFile("lib/firmware/unasked.bin", 0o644, "unasked"); err != nil {
		return err
	}
	if err := t.Add("lib/firmware/real/blob.bin.zst", tree.File(0o644, z.EncodeAll([]byte("blob"), nil))); err != nil {
		return err
	}
	if err := t.Add("lib/firmware/me4000_firmware.bin.zst", tree.Symlink("real/blob.bin.zst")); err != nil {
		return err
	}
	if err := t.AddFile("lib/firmware/ni6534a.bin", 0o644, "blob"); err != nil {
		return err
	}
	return w.part(alpinePart{name: "linux-firmware-test", version: "20260101-r0"}, t)
}
