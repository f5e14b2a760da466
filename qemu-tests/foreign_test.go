//go:build qemu

package qemutests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"psyopsOS/image/debian"
	. "psyopsOS/image/oci/ocitest"
	"psyopsOS/image/rpm/rpmtest"
	"psyopsOS/image/testos"
	"psyopsOS/image/tree"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// fetched are the files of Debian packages, as the build fetches them.
func fetched(t testing.TB, pick func(context.Context, debian.Apt) ([]debian.Package, error)) ([]debian.Package, []string) {
	t.Helper()
	cache, err := debian.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	apt := debian.New(cache)
	packages, err := pick(t.Context(), apt)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	err = step.Run(t.Context(), func(step.Event) {}, func() time.Duration { return 0 },
		step.Step{Name: "fetch", Do: func(ctx context.Context, r *step.Reporter) (err error) {
			files, err = apt.Fetch(ctx, r, packages...)
			return err
		}})
	if err != nil {
		t.Fatal(err)
	}
	return packages, files
}

// netRaw is the capability to send raw packets, as the kernel keeps it.
const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// ociLayout is a container image of two layers: one with all packages and with
// what the second one takes away, as a Dockerfile's RUN rm does.
func ociLayout(t testing.TB) string {
	t.Helper()
	packages, files := fetched(t, func(ctx context.Context, apt debian.Apt) ([]debian.Package, error) {
		return apt.Resolve(ctx, testos.Request(testos.Base))
	})
	userland, err := testos.Build(packages, files)
	if err != nil {
		t.Fatal(err)
	}
	status := ""
	for _, p := range packages {
		status += "Package: " + p.Name + "\nStatus: install ok installed\nArchitecture: " + p.Architecture + "\nVersion: " + p.Version + "\n\n"
	}
	for name, content := range map[string]string{"var/lib/dpkg/status": status, "usr/share/junk/a": "junk", "opt/app/old": "old", "etc/gone": "gone", ".dockerenv": ""} {
		if err := userland.AddFile(name, 0o644, content); err != nil {
			t.Fatal(err)
		}
	}
	var lower strings.Builder
	if err := userland.WriteTar(&lower, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	busybox := content(t, userland, "bin/busybox.static")
	capable := File("usr/bin/busybox.capable", 0o755, busybox)
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": netRaw}
	owned := File("opt/app/new", 0o640, "new")
	owned.Uid, owned.Gid = 1000, 50
	upper := Tar(t,
		File("usr/share/.wh.junk", 0, ""), File("etc/.wh.gone", 0, ""), File("opt/app/.wh..wh..opq", 0, ""),
		owned, Hard("opt/app/same", "opt/app/new"), capable,
		File("etc/os-release", 0o644, "ID=boxed\nVERSION_ID=7\n"),
		File("etc/init.d/greet", 0o755, "#!/sbin/openrc-run\nstart() { echo hello >/run/greet; }\n"),
	)
	return Layout(t, filepath.Join(t.TempDir(), "boxed"), map[string]v1.Image{"boxed:7": Image(t, "amd64", []byte(lower.String()), upper)})
}

func content(t testing.TB, x *tree.Tree, name string) string {
	t.Helper()
	at, err := x.Follow(name)
	if err != nil {
		t.Fatal(err)
	}
	n, ok := x.Get(at)
	if !ok {
		t.Fatalf("no %s", name)
	}
	text, err := n.Content()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rpmKernel is Debian's kernel as Fedora packs one: everything in
// lib/modules/KVER, the modules compressed. No distribution that has RPM
// kernels can be reached where these tests run.
func rpmKernel(t testing.TB) string {
	t.Helper()
	_, files := fetched(t, func(ctx context.Context, apt debian.Apt) ([]debian.Package, error) {
		p, err := apt.Kernel(ctx, "linux-image-cloud-amd64")
		return []debian.Package{p}, err
	})
	root := t.TempDir()
	script := `set -e
dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2"
cd "$2"
kver=$(ls lib/modules)
for f in vmlinuz System.map config; do mv boot/$f-$kver lib/modules/$kver/$f; done
rm -r boot usr
find lib/modules -name '*.ko' -path '*/net/*' -print0 | xargs -0 -P 2 -n 16 zstd -q --rm
find lib/modules -name '*.ko' -print0 | xargs -0 -P 2 -n 16 xz -1`
	if said, err := exec.Command("sh", "-c", script, "sh", files[0], root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return rpmtest.Build(t, rpmtest.Package{Name: "kernel-core", Version: "6.1", Root: root})
}

// Issue 5: userland of one distribution, kernel of another.
func TestAContainerImageBootsWithADebianKernelAndWithAnRPM(t *testing.T) {
	t.Parallel()
	layout := ociLayout(t)
	overlay := t.TempDir()
	if err := os.WriteFile(filepath.Join(overlay, "from-overlay"), []byte("laid over\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		kernel func() string
	}{
		{"a Debian kernel", func() string { return "cloud" }},
		{"an RPM kernel", func() string { return rpmKernel(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			kernel := c.kernel()
			id := strings.TrimSuffix(filepath.Base(kernel), ".rpm")
			if id == "cloud" {
				id = ""
			}
			made := sync.OnceValues(func() (Images, error) {
				return buildVariant(variantImages{Userland: "oci-boxed-boxed-7", Kernel: id}, "160",
					"--userland", "oci:"+layout+":boxed:7", "--kernel", kernel, "--overlay", overlay, "--service", "greet")
			})
			g := suite.Boot(t, Scenario{Images: made})
			if e := g.Sees(vm.Fact("release")); !strings.Contains(e.Message, "boxed 7") {
				t.Errorf("the release calls itself %q", e.Message)
			}
			g.HandsOver()
			g.Login()
			g.Prints("uname -r", g.Images.KernelVersion)
			g.Runs("modprobe dummy && lsmod | grep -q ^dummy")
			g.Prints("ls -d /usr/share/junk /etc/gone /opt/app/old /.dockerenv 2>/dev/null || true", "")
			g.Prints("stat -c '%n %a %u:%g %h' /opt/app/*", "/opt/app/new 640 1000:50 2\n/opt/app/same 640 1000:50 2")
			g.Prints("cat /from-overlay /run/greet", "laid over\nhello")
			// The program's capability is there for whoever runs it.
			g.Prints("su -s /bin/sh nobody -c '/usr/bin/busybox.capable grep CapEff /proc/self/status'", "CapEff:\t0000000000002000")
			if failed := g.Runs("rc-status --nocolor --crashed || true"); failed != "" {
				t.Errorf("services that failed: %s", failed)
			}
			g.PowersOff()
		})
	}
}
