package image

import (
	"slices"
	"strings"
	"testing"

	"psyopsOS/image/tree"
)

// firmwareKernel has modules, and a built-in driver, that name firmware.
func firmwareKernel(t *testing.T) Kernel {
	t.Helper()
	k := Kernel{Version: kver, Modules: tree.New()}
	module := func(fields ...string) string {
		return string(elfFile([]section{{".modinfo", 1, strings.Join(fields, "\x00") + "\x00"}}))
	}
	for name, content := range map[string]string{
		"kernel/net/wifi.ko":      module("license=GPL", "firmware=vendor/wifi.bin", "firmware=vendor/wifi-*.pnvm", "firmware=../../etc/shadow", "firmware=/etc/shadow"),
		"kernel/gpu/gpu.ko":       module("firmware=gpu/old.bin", "description=a firmware=loader", "firmware=vendor/wifi.bin"),
		"kernel/misc/none.ko":     string(elfFile(nil)),
		"modules.builtin.modinfo": "rtc.license=GPL\x00nic.firmware=nic/boot.fw\x00nic.description=x.firmware=y\x00",
	} {
		if err := k.Modules.AddFile("lib/modules/"+kver+"/"+name, 0o644, content); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func TestModulesTellWhichFirmwareTheyWant(t *testing.T) {
	got, err := WantedFirmware(firmwareKernel(t))
	want := []string{"gpu/old.bin", "nic/boot.fw", "vendor/wifi-*.pnvm", "vendor/wifi.bin"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	broken := firmwareKernel(t)
	if err := broken.Modules.AddFile("lib/modules/"+kver+"/kernel/odd.ko", 0o644, "no ELF"); err != nil {
		t.Fatal(err)
	}
	if _, err := WantedFirmware(broken); err == nil || !strings.Contains(err.Error(), "odd.ko") {
		t.Errorf("of a damaged module: %v", err)
	}
}

func TestTheModloopGetsTheFirmwareThatModulesName(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    []map[string]*tree.Node
		want    map[string]string
		missing []string
	}{
		{"nothing", nil, map[string]string{}, []string{"gpu/old.bin", "nic/boot.fw", "vendor/wifi-*.pnvm", "vendor/wifi.bin"}},
		{"a package, compressed, with links and with what nobody asked for", []map[string]*tree.Node{{
			"lib/firmware/vendor/wifi.bin.xz":    tree.File(0o600, compressedAs(t, ".xz", []byte("wifi"))).With(0o600, 5, 5),
			"lib/firmware/vendor/wifi-a.pnvm":    tree.File(0o644, []byte("a")),
			"lib/firmware/vendor/wifi-b.pnvm.gz": tree.File(0o644, compressedAs(t, ".gz", []byte("b"))),
			"lib/firmware/vendor/unasked.bin":    tree.File(0o644, []byte("unasked")),
			"lib/firmware/gpu/old.bin.zst":       tree.Symlink("new.bin.zst"),
			"lib/firmware/gpu/new.bin.zst":       tree.File(0o644, compressedAs(t, ".zst", []byte("gpu"))),
			"usr/share/doc/readme":               tree.File(0o644, nil),
		}}, map[string]string{"vendor/wifi.bin": "wifi", "vendor/wifi-a.pnvm": "a", "vendor/wifi-b.pnvm": "b", "gpu/old.bin": "gpu"}, []string{"nic/boot.fw"}},
		{"a folder of firmware itself, a merged /usr, and the first has its way", []map[string]*tree.Node{
			{"nic/boot.fw": tree.File(0o644, []byte("first"))},
			{"usr/lib/firmware/nic/boot.fw": tree.File(0o644, []byte("second")), "usr/lib/firmware/gpu/old.bin": tree.File(0o644, []byte("gpu"))},
		}, map[string]string{"nic/boot.fw": "first", "gpu/old.bin": "gpu"}, []string{"vendor/wifi-*.pnvm", "vendor/wifi.bin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var from []*tree.Tree
			for _, nodes := range c.from {
				from = append(from, treeOf(t, nodes))
			}
			picked, missing, err := Firmware(firmwareKernel(t), from...)
			if err != nil || !slices.Equal(missing, c.missing) {
				t.Fatalf("missing %q, %v, want %q", missing, err, c.missing)
			}
			got := map[string]string{}
			for name, n := range picked.All() {
				if n.Mode.IsDir() {
					continue
				}
				got[name] = text(t, n)
				if n.Mode != 0o644 || n.UID != 0 {
					t.Errorf("%s has mode %v of %d", name, n.Mode, n.UID)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for name, want := range c.want {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
		})
	}
}

func TestFirmwareThatLeadsNowhereIsRefused(t *testing.T) {
	for name, node := range map[string]*tree.Node{"a dead link": tree.Symlink("gone.bin"), "a link out": tree.Symlink("/etc/shadow"), "damaged": tree.Symlink("damaged.bin.xz")} {
		from := treeOf(t, map[string]*tree.Node{"lib/firmware/gpu/old.bin": node, "lib/firmware/gpu/damaged.bin.xz": tree.File(0o644, []byte("no xz"))})
		if _, _, err := Firmware(firmwareKernel(t), from); err == nil || !strings.Contains(err.Error(), "gpu/old.bin") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func treeOf(t *testing.T, nodes map[string]*tree.Node) *tree.Tree {
	t.Helper()
	x := tree.New()
	for name, n := range nodes {
		if err := x.Add(name, n); err != nil {
			t.Fatal(err)
		}
	}
	return x
}
