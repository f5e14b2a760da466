package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/step"
)

// archive is a fake apt: it knows paragraphs and package files, and counts
// how often it was called.
type archive struct {
	paragraphs map[string]string
	files      map[string][]byte // by name
	calls      []string
	fail       int // downloads that fail from now on
}

func newArchive(t *testing.T) (*archive, Apt) {
	a := &archive{paragraphs: map[string]string{}, files: map[string][]byte{}}
	dir := t.TempDir()
	lists := filepath.Join(dir, "lists")
	if err := os.WriteFile(lists, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	return a, Apt{Cache: filepath.Join(dir, "cache"), Run: a.run, State: []string{lists}}
}

func (a *archive) add(name, version, section, depends string, content string) {
	sum := sha256.Sum256([]byte(content))
	a.files[name] = []byte(content)
	a.paragraphs[name] = fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nSection: %s\nDepends: %s\nSize: %d\nSHA256: %s\nDescription: one\n two: not a field\n",
		name, version, section, depends, len(content), hex.EncodeToString(sum[:]))
}

func (a *archive) run(_ context.Context, dir, program string, args ...string) ([]byte, error) {
	a.calls = append(a.calls, program)
	switch program {
	case "apt-cache":
		return a.show(args[slices.Index(args, "--no-all-versions")+1:])
	case "apt-get":
		if a.fail > 0 {
			a.fail--
			return nil, errors.New("apt-get: temporary failure resolving the archive's name")
		}
		return nil, a.download(dir, args[slices.Index(args, "download")+1:])
	}
	return nil, fmt.Errorf("%s is not apt", program)
}

func (a *archive) show(names []string) ([]byte, error) {
	var out strings.Builder
	for _, name := range names {
		if p, ok := a.paragraphs[name]; ok {
			out.WriteString(p + "\n")
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("exit status 100\nE: No packages found")
	}
	return []byte(out.String()), nil
}

func (a *archive) download(dir string, packages []string) error {
	for _, p := range packages {
		name, version, _ := strings.Cut(p, "=")
		file := fmt.Sprintf("%s_%s_amd64.deb", name, strings.ReplaceAll(version, ":", "%3a"))
		if err := os.WriteFile(filepath.Join(dir, file), a.files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func names(packages []Package) []string {
	var all []string
	for _, p := range packages {
		all = append(all, p.String())
	}
	return all
}

func TestLibrariesAreFoundByDependency(t *testing.T) {
	a, apt := newArchive(t)
	a.add("busybox", "1:1.37-1", "utils", "libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0", "")
	a.add("sshd", "9", "net", "libssl3t64 (>= 3), adduser, libsystemd0 | libelogind0, libnever0", "")
	a.add("libc6", "2.41", "libs", "libgcc-s1", "")
	a.add("libgcc-s1", "14", "libs", "gcc-14-base:any, libc6", "")
	a.add("libssl3t64", "3.5", "non-free/libs", "libunwanted1", "")
	a.add("libsystemd0", "257", "libs", "", "")
	a.add("libelogind0", "255", "libs", "", "")
	a.add("libunwanted1", "1", "libs", "", "")
	a.add("adduser", "3", "admin", "passwd", "")
	a.add("debconf", "1.5", "admin", "perl", "")
	got, err := apt.Resolve(context.Background(), Request{[]string{"sshd", "busybox"}, map[string]string{"libunwanted1": "a test"}})
	want := []string{"busybox=1:1.37-1", "libc6=2.41", "libgcc-s1=14", "libssl3t64=3.5", "libsystemd0=257", "sshd=9"}
	if err != nil || !slices.Equal(names(got), want) {
		t.Errorf("got %v, %v\nwant %v", names(got), err, want)
	}
}

func TestAptIsAskedAgainOnlyWhenItsListsChanged(t *testing.T) {
	a, apt := newArchive(t)
	a.add("busybox", "1", "utils", "", "")
	resolve := func(r Request) int {
		t.Helper()
		a.calls = nil
		if _, err := apt.Resolve(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		return len(a.calls)
	}
	busybox := Request{Packages: []string{"busybox"}}
	if n := resolve(busybox); n != 1 {
		t.Errorf("the first time apt was called %d times", n)
	}
	if n := resolve(busybox); n != 0 {
		t.Errorf("the second time apt was called %d times", n)
	}
	if n := resolve(Request{busybox.Packages, map[string]string{"x": "y"}}); n != 1 {
		t.Errorf("for another request apt was called %d times", n)
	}
	if err := os.WriteFile(apt.State[0], []byte("22"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := resolve(busybox); n != 1 {
		t.Errorf("with other lists apt was called %d times", n)
	}
}

func TestAPackageThatAptDoesNotKnow(t *testing.T) {
	a, apt := newArchive(t)
	for _, c := range []struct{ name, want string }{
		{"without any lists", "apt knows no package busybox"},
		{"with lists", "apt knows no package nosuch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := apt.Resolve(context.Background(), Request{Packages: []string{"busybox", "nosuch"}})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(step.HintOf(err), "apt-get update") {
				t.Errorf("got %v, hint %q", err, step.HintOf(err))
			}
			a.add("busybox", "1", "utils", "", "")
		})
	}
}

func TestAMachineWithoutAptIsTold(t *testing.T) {
	_, apt := newArchive(t)
	apt.Run = func(context.Context, string, string, ...string) ([]byte, error) {
		return nil, fmt.Errorf("apt-cache: %w", exec.ErrNotFound)
	}
	if _, err := apt.Resolve(context.Background(), Request{Packages: []string{"x"}}); !strings.Contains(step.HintOf(err), "needs apt") {
		t.Errorf("got %v, hint %q", err, step.HintOf(err))
	}
}

func TestTheKernelBehindAMetapackage(t *testing.T) {
	a, apt := newArchive(t)
	a.add("linux-image-cloud-amd64", "6.1.1-1", "kernel", "linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1)", "")
	a.add("linux-image-6.1.0-1-cloud-amd64", "6.1.1-1", "kernel", "kmod, linux-base | initramfs", "")
	a.add("linux-image-round", "1", "kernel", "linux-image-round", "")
	for _, c := range []struct{ ask, want, err string }{
		{"linux-image-cloud-amd64", "linux-image-6.1.0-1-cloud-amd64=6.1.1-1", ""},
		{"linux-image-6.1.0-1-cloud-amd64", "linux-image-6.1.0-1-cloud-amd64=6.1.1-1", ""},
		{"linux-image-round", "", "lead from one to the next"},
		{"linux-image-nosuch", "", "apt knows no kernel package"},
	} {
		t.Run(c.ask, func(t *testing.T) {
			got, err := apt.Kernel(context.Background(), c.ask)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v", err)
				}
			} else if err != nil || got.String() != c.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// inStep runs f as a step, and gives its warnings beside its error.
func inStep(f func(ctx context.Context, r *step.Reporter) error) (warnings int, err error) {
	err = step.Run(context.Background(), func(e step.Event) {
		if e.Kind == step.Warning {
			warnings++
		}
	}, func() time.Duration { return 0 }, step.Step{Name: "fetch", Do: f})
	return warnings, err
}

func TestFetch(t *testing.T) {
	for _, c := range []struct {
		name     string
		before   func(t *testing.T, a *archive, apt Apt, p []Package)
		calls    int
		warnings int
		err      string
	}{
		{"downloads what is missing, at once", func(*testing.T, *archive, Apt, []Package) {}, 1, 0, ""},
		{"needs no network for what is there", func(t *testing.T, a *archive, apt Apt, p []Package) {
			for _, one := range p {
				put(t, apt.file(one), a.files[one.Name])
			}
		}, 0, 0, ""},
		{"downloads a damaged file again", func(t *testing.T, a *archive, apt Apt, p []Package) {
			put(t, apt.file(p[0]), a.files[p[0].Name])
			put(t, apt.file(p[1]), []byte("half"))
		}, 1, 0, ""},
		{"tries again", func(_ *testing.T, a *archive, _ Apt, _ []Package) { a.fail = 1 }, 2, 1, ""},
		{"gives up", func(_ *testing.T, a *archive, _ Apt, _ []Package) { a.fail = 99 }, 3, 2, "tried 3 times"},
		{"refuses a file that is not what the lists say", func(_ *testing.T, a *archive, _ Apt, _ []Package) {
			a.files["openrc"] = []byte("evil")
		}, 3, 2, "apt's lists say"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, apt := newArchive(t)
			a.add("busybox", "1:1.35.0-4+b1", "utils", "", "one")
			a.add("openrc", "0.45", "admin", "", "two")
			packages, err := apt.Resolve(context.Background(), Request{Packages: []string{"busybox", "openrc"}})
			if err != nil {
				t.Fatal(err)
			}
			c.before(t, a, apt, packages)
			a.calls = nil
			var files []string
			warnings, err := inStep(func(ctx context.Context, r *step.Reporter) (err error) {
				files, err = apt.Fetch(ctx, r, packages...)
				return err
			})
			if len(a.calls) != c.calls || warnings != c.warnings {
				t.Errorf("apt was called %d times with %d warnings, want %d and %d", len(a.calls), warnings, c.calls, c.warnings)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(step.HintOf(err), "apt-get update") {
					t.Errorf("got %v, hint %q", err, step.HintOf(err))
				}
				return
			}
			if err != nil || len(files) != 2 {
				t.Fatalf("got %v, %v", files, err)
			}
			for i, want := range []string{"one", "two"} {
				if got, err := os.ReadFile(files[i]); err != nil || string(got) != want {
					t.Errorf("%s holds %q, %v", files[i], got, err)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(apt.Cache, ".fetch*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func put(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestParsePackages(t *testing.T) {
	const one = "Package: a\nVersion: 1:2~3+b4\nArchitecture: amd64\nSection: libs\nPre-Depends: p\nDepends: x (>= 1) | y:any, z [amd64]\nSHA256: 00\nSize: 12\nDescription: d\n Package: not this\n"
	want := Package{"a", "1:2~3+b4", "amd64", "libs", "00", 12, [][]string{{"p"}, {"x", "y"}, {"z"}}}
	for _, c := range []struct {
		name, text string
		want       []Package
		err        string
	}{
		{"nothing", "\n\n", nil, ""},
		{"one", one, []Package{want}, ""},
		{"two", one + "\n" + one, []Package{want, want}, ""},
		{"without a name", "Version: 1\nArchitecture: amd64\n", nil, `Package is ""`},
		{"with a name that is an option", "Package: --help\nVersion: 1\nArchitecture: all\n", nil, `Package is "--help"`},
		{"with a version that is a path", "Package: a\nVersion: ../1\nArchitecture: all\n", nil, `Version is "../1"`},
		{"with a size that is no number", "Package: a\nVersion: 1\nArchitecture: all\nSize: big\n", nil, "invalid syntax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParsePackages([]byte(c.text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want one with %q", err, c.err)
				}
			} else if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func FuzzParsePackages(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nArchitecture: all\nDepends: b | c, d (>= 1)\n\nPackage: e\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		packages, err := ParsePackages(text)
		if err != nil {
			return
		}
		for _, p := range packages {
			if strings.ContainsAny(p.String()+p.Architecture, "/ \n") || strings.HasPrefix(p.Name, "-") {
				t.Errorf("%q is an odd argument or file name", p)
			}
		}
	})
}
