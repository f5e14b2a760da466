package image

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"psyopsOS/image/tree"
	"psyopsOS/step"
)

const kver = "6.1.0-9-test"

// compressedAs compresses by the name's ending.
func compressedAs(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch filepath.Ext(name) {
	case ".gz":
		w := gzip.NewWriter(&b)
		_, err = w.Write(content)
		must(w.Close())
	case ".xz":
		w, e := xz.NewWriter(&b)
		must(e)
		_, err = w.Write(content)
		must(w.Close())
	case ".zst":
		w, e := zstd.NewWriter(&b)
		must(e)
		_, err = w.Write(content)
		must(w.Close())
	default:
		return content
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// kernelFiles are a package's: disk needs bus, net needs bus, gpu stands
// alone; console is built in.
func kernelFiles(t *testing.T, dir, ending string) *tree.Tree {
	t.Helper()
	x := tree.New()
	for name, content := range map[string][]byte{
		"kernel/drivers/bus/the-bus.ko":  koFile("pci:bus*", []string{"bus_add"}, nil),
		"kernel/drivers/block/disk.ko":   koFile("bus:disk*", []string{"disk_add"}, []string{"bus_add"}),
		"kernel/drivers/block/stripe.ko": koFile("raid*", nil, []string{"disk_add"}),
		"kernel/drivers/net/net.ko":      koFile("bus:net*", nil, []string{"bus_add"}),
		"kernel/drivers/gpu/gpu.ko":      koFile("pci:gpu*", nil, nil),
	} {
		if err := x.Add(dir+"/"+kver+"/"+name+ending, tree.File(0o600, compressedAs(t, ending, content)).With(0o600, 1000, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		dir + "/" + kver + "/modules.builtin": "kernel/drivers/tty/con-sole.ko\n",
		dir + "/" + kver + "/modules.order":   "kernel/drivers/gpu/gpu.ko\n",
		dir + "/" + kver + "/modules.dep":     "old\n",
	} {
		if err := x.AddFile(name, 0o644, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Add(dir+"/"+kver+"/build", tree.Symlink("/usr/src/linux")); err != nil {
		t.Fatal(err)
	}
	return x
}

func debianKernel(t *testing.T) Kernel {
	t.Helper()
	x := kernelFiles(t, "lib/modules", "")
	for _, name := range []string{"vmlinuz", "System.map", "config"} {
		if err := x.AddFile("boot/"+name+"-"+kver, 0o600, name+" of "+kver); err != nil {
			t.Fatal(err)
		}
	}
	k, err := ReadKernel(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func text(t *testing.T, n *tree.Node) string {
	t.Helper()
	content, err := n.Content()
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAKernelIsFoundInTheLayoutOfEachDistribution(t *testing.T) {
	for _, c := range []struct{ name, modules, ending, image, systemMap, config string }{
		{"Debian 12", "lib/modules", "", "boot/vmlinuz-" + kver, "boot/System.map-" + kver, "boot/config-" + kver},
		{"Debian 13", "usr/lib/modules", ".xz", "boot/vmlinuz-" + kver, "boot/System.map-" + kver, "boot/config-" + kver},
		{"Alpine", "lib/modules", ".gz", "boot/vmlinuz-test", "boot/System.map-" + kver, "boot/config-" + kver},
		{"Fedora", "lib/modules", ".zst", "lib/modules/" + kver + "/vmlinuz", "lib/modules/" + kver + "/System.map", "lib/modules/" + kver + "/config"},
		{"a folder", "lib/modules", "", "kernel", "System.map", "config"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := kernelFiles(t, c.modules, c.ending)
			for _, name := range []string{c.image, c.systemMap, c.config} {
				if err := x.AddFile(name, 0o600, name); err != nil {
					t.Fatal(err)
				}
			}
			k, err := ReadKernel(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			if k.Version != kver || text(t, k.Image) != c.image || text(t, k.SystemMap) != c.systemMap || text(t, k.Config) != c.config {
				t.Errorf("got %+v", k)
			}
			n, ok := k.Modules.Get("lib/modules/" + kver + "/kernel/drivers/block/disk.ko")
			if !ok || !strings.HasPrefix(text(t, n), "\x7fELF") || n.Mode != 0o644 || n.UID != 0 {
				t.Errorf("the module is %+v", n)
			}
			dep, err := fs.ReadFile(k.Modules.FS(), "lib/modules/"+kver+"/modules.dep")
			if want := "kernel/drivers/block/stripe.ko: kernel/drivers/block/disk.ko kernel/drivers/bus/the-bus.ko\n"; err != nil || !strings.Contains(string(dep), want) {
				t.Errorf("modules.dep: %v:\n%s", err, dep)
			}
			if k.Modules.Has("lib/modules/" + kver + "/build") {
				t.Error("the link to the build tree is still there")
			}
		})
	}
}

func TestAPackageWithoutOneKernelIsRefused(t *testing.T) {
	two := kernelFiles(t, "lib/modules", "")
	if err := two.Add("lib/modules/5.10.0", tree.Dir(0o755)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		x          *tree.Tree
		want, hint string
	}{
		{"no modules", tree.New(), "0 folders in lib/modules", "one kernel"},
		{"two kernels", two, "2 folders in lib/modules and not one: 5.10.0 " + kver, "one kernel"},
		{"no image", kernelFiles(t, "lib/modules", ""), "none of boot/vmlinuz-" + kver, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadKernel(t.Context(), c.x)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(step.HintOf(err), c.hint) {
				t.Errorf("got %v, hint %q", err, step.HintOf(err))
			}
		})
	}
}

func TestAModuleThatDepmodCannotReadIsRefused(t *testing.T) {
	x := kernelFiles(t, "lib/modules", "")
	for name, content := range map[string]string{"kernel": "k", "System.map": "s", "config": "c", "lib/modules/" + kver + "/kernel/odd.ko": "no module"} {
		if err := x.AddFile(name, 0o644, content); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadKernel(t.Context(), x); err == nil || !strings.Contains(err.Error(), "odd.ko") {
		t.Errorf("got %v", err)
	}
}

func TestAKernelIsReadBackAsItWasWritten(t *testing.T) {
	k, dir := debianKernel(t), t.TempDir()
	if err := k.Write(dir); err != nil {
		t.Fatal(err)
	}
	back, err := OpenKernel(dir)
	if err != nil {
		t.Fatal(err)
	}
	if back.Version != k.Version || text(t, back.Image) != text(t, k.Image) || text(t, back.SystemMap) != text(t, k.SystemMap) || text(t, back.Config) != text(t, k.Config) {
		t.Errorf("got %+v", back)
	}
	if got, want := contents(t, back.Modules), contents(t, k.Modules); !reflect.DeepEqual(got, want) {
		t.Errorf("the modules differ: got %d, want %d", len(got), len(want))
	}
	if version := read(t, filepath.Join(dir, "kernel.version")); string(version) != kver+"\n" {
		t.Errorf("kernel.version is %q", version)
	}
}

func contents(t *testing.T, x *tree.Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, n := range x.All() {
		all[name] = n.Mode.String()
		if n.Mode.IsRegular() {
			all[name] += text(t, n)
		}
	}
	return all
}

// modulesIn lists the modules, and what modules.dep says of them.
func modulesIn(t *testing.T, x *tree.Tree, dir string) []string {
	t.Helper()
	var files, indexed []string
	for name := range x.All() {
		if below, ok := strings.CutPrefix(name, dir+"/"); ok && strings.HasSuffix(name, ".ko") {
			files = append(files, below)
		}
	}
	dep, err := fs.ReadFile(x.FS(), dir+"/modules.dep")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(dep)) {
		name, _, _ := strings.Cut(line, ":")
		indexed = append(indexed, name)
	}
	slices.Sort(indexed)
	if !slices.Equal(files, indexed) {
		t.Errorf("the files are %v, and modules.dep has %v", files, indexed)
	}
	return files
}

func TestTheInitramfsGetsTheModulesNamedAndWhatTheyNeed(t *testing.T) {
	for _, c := range []struct {
		name         string
		ask          []string
		want, absent []string
	}{
		{"a module with its chain", []string{"stripe"}, []string{"kernel/drivers/block/disk.ko", "kernel/drivers/block/stripe.ko", "kernel/drivers/bus/the-bus.ko"}, nil},
		{"with either kind of dash", []string{"the_bus"}, []string{"kernel/drivers/bus/the-bus.ko"}, nil},
		{"built in", []string{"gpu", "con_sole"}, []string{"kernel/drivers/gpu/gpu.ko"}, nil},
		{"one that this kernel does not have", []string{"gpu", "nvme"}, []string{"kernel/drivers/gpu/gpu.ko"}, []string{"nvme"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, absent, err := InitramfsModules(t.Context(), debianKernel(t), c.ask)
			if err != nil {
				t.Fatal(err)
			}
			if got := modulesIn(t, x, "lib/modules/"+kver); !slices.Equal(got, c.want) || !slices.Equal(absent, c.absent) {
				t.Errorf("got %v without %v, want %v without %v", got, absent, c.want, c.absent)
			}
			tables, err := fs.Glob(x.FS(), "lib/modules/"+kver+"/modules.*")
			for i, name := range tables {
				tables[i] = strings.TrimPrefix(name, "lib/modules/"+kver+"/")
			}
			if want := []string{"modules.alias", "modules.builtin", "modules.dep", "modules.softdep"}; err != nil || !slices.Equal(tables, want) {
				t.Errorf("the tables are %v, %v, want %v", tables, err, want)
			}
		})
	}
}

// Init reads the tables of the modloop in the initramfs, and compares their
// sizes with those in the modloop: they have to be the same.
func TestTheInitramfsHasTheModloopsTables(t *testing.T) {
	k := debianKernel(t)
	x, _, err := InitramfsModules(t.Context(), k, []string{"disk"})
	if err != nil {
		t.Fatal(err)
	}
	if err := AddModloopTables(x, k); err != nil {
		t.Fatal(err)
	}
	loop, err := ModloopOptions{}.tree(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	copies, err := fs.Glob(x.FS(), "lib/modules/"+kver+"/modloop/*")
	if err != nil || len(copies) != 4 {
		t.Errorf("the copies are %v, %v, want four tables", copies, err)
	}
	for _, name := range copies {
		got, err := fs.ReadFile(x.FS(), name)
		want, errWant := fs.ReadFile(loop.FS(), "modules/"+kver+"/"+path.Base(name))
		if err != nil || errWant != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; the modloop has %d, %v", name, len(got), err, len(want), errWant)
		}
	}
}

func TestAModloopWithoutSomeFolders(t *testing.T) {
	for _, c := range []struct {
		name     string
		leaveOut []string
		want     []string
	}{
		{"whole", nil, []string{"kernel/drivers/block/disk.ko", "kernel/drivers/block/stripe.ko", "kernel/drivers/bus/the-bus.ko", "kernel/drivers/gpu/gpu.ko", "kernel/drivers/net/net.ko"}},
		{"without a folder", []string{"kernel/drivers/gpu/"}, []string{"kernel/drivers/block/disk.ko", "kernel/drivers/block/stripe.ko", "kernel/drivers/bus/the-bus.ko", "kernel/drivers/net/net.ko"}},
		{"what needs a module goes with it", []string{"disk"}, []string{"kernel/drivers/bus/the-bus.ko", "kernel/drivers/gpu/gpu.ko", "kernel/drivers/net/net.ko"}},
		{"all that needs the bus", []string{"kernel/drivers/bus"}, []string{"kernel/drivers/gpu/gpu.ko"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			firmware := tree.New()
			if err := firmware.AddFile("vendor/chip.bin", 0o644, "blob"); err != nil {
				t.Fatal(err)
			}
			x, err := ModloopOptions{Filter: ModuleFilter{c.leaveOut}, Firmware: firmware}.tree(t.Context(), debianKernel(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := modulesIn(t, x, "modules/"+kver); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if !x.Has("modules/firmware/vendor/chip.bin") {
				t.Error("the firmware is missing")
			}
		})
	}
}

func TestTheModloopFile(t *testing.T) {
	out := filepath.Join(t.TempDir(), "modloop")
	if err := Modloop(t.Context(), debianKernel(t), ModloopOptions{Time: time.Unix(1700000000, 0), Out: out}); err != nil {
		t.Fatal(err)
	}
	list := listSquashfs(t, out)
	for _, want := range []string{"drwxr-xr-x 0/0 /modules/firmware", "-rw-r--r-- 0/0 /modules/" + kver + "/modules.alias.bin", "-rw-r--r-- 0/0 /modules/" + kver + "/kernel/drivers/net/net.ko"} {
		if !slices.Contains(list, want) {
			t.Errorf("%q is not in it:\n%s", want, strings.Join(list, "\n"))
		}
	}
}

func TestParseModuleIndex(t *testing.T) {
	got := parseModuleIndex([]byte("a/x-y.ko:\nb/z.ko: a/x-y.ko\nodd line\n"), []byte("kernel/fs/ext4/ext4.ko\n"))
	want := moduleIndex{map[string][]string{"a/x-y.ko": {}, "b/z.ko": {"a/x-y.ko"}}, map[string]bool{"ext4": true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseModuleList(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{"names and comments", "# disks\nnvme # fast\n\n  ahci\nnvme\n", []string{"ahci", "nvme"}, ""},
		{"two names in a line", "nvme ahci\n", nil, `"nvme ahci" is not one module name`},
		{"a file", "kernel/drivers/nvme.ko\n", nil, "is not one module name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseModuleList([]byte(c.text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want one with %q", err, c.err)
				}
			} else if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestTheListOfModulesCanBeRead(t *testing.T) {
	content, err := os.ReadFile("../u-root-config/modules")
	if err != nil {
		t.Fatal(err)
	}
	names, err := ParseModuleList(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"virtio_blk", "ahci", "nvme", "usb_storage", "uas", "xhci_pci", "mmc_block", "ext4", "vfat", "squashfs", "loop", "overlay"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not in it", want)
		}
	}
}

func FuzzParseModuleList(f *testing.F) {
	f.Add([]byte("# disks\nnvme # fast\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		names, err := ParseModuleList(text)
		if err != nil {
			return
		}
		again, err := ParseModuleList([]byte(strings.Join(names, "\n")))
		if err != nil || !slices.Equal(again, names) {
			t.Errorf("%q became %q, %v", names, again, err)
		}
	})
}
