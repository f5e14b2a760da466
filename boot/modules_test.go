package boot_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"psyopsOS/boot"
	"psyopsOS/boot/boottest"
	"psyopsOS/step"
)

// tables are depmod's, of a small tree in which virtio_blk's disk shows only
// when virtio_pci is there.
var tables = map[string]string{
	"modules.dep": `kernel/virtio/virtio.ko:
kernel/virtio/virtio_ring.ko: kernel/virtio/virtio.ko
kernel/virtio/virtio_pci.ko.xz: kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko
kernel/block/virtio_blk.ko: kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko
kernel/usb/usb-storage.ko: kernel/scsi/scsi_mod.ko
kernel/usb/uas.ko: kernel/usb/usb-storage.ko kernel/scsi/scsi_mod.ko
kernel/scsi/scsi_mod.ko:
kernel/fs/ext4.ko: kernel/fs/jbd2.ko
kernel/fs/jbd2.ko:
kernel/crypto/crc32c_generic.ko.gz:
kernel/crypto/crc32c-intel.ko:
kernel/x/ring_a.ko: kernel/x/ring_b.ko
kernel/x/ring_b.ko: kernel/x/ring_a.ko
`,
	"modules.alias": `alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000002v* virtio_blk
alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb_storage
alias usb:v*p*d*dc*dsc*dp*ic08isc06ip* uas
alias fs-ext4 ext4
alias crypto-crc32c crc32c_generic
alias crypto-crc32c crc32c_intel
alias acpi*:PNP0F13:* psmouse
`,
	"modules.softdep": "# comment\nsoftdep jbd2 pre: crypto-crc32c nonsense\nsoftdep uas post: ring_a\n",
	"modules.builtin": "kernel/fs/squashfs/squashfs.ko\nkernel/drivers/block/loop.ko\n",
}

func treeFS() fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range tables {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func drivers(t *testing.T, kernel boot.Modules, line string) *boot.Drivers {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, treeFS()); err != nil {
		t.Fatal(err)
	}
	c, _ := boot.ParseCmdline(line)
	d, err := boot.OpenDrivers(dir, kernel, c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

func TestLoadPlan(t *testing.T) {
	tree, err := boot.ReadModuleTree(treeFS())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name              string
		want              []string
		loaded, blacklist map[string]bool
		plan              string
	}{
		{name: "needs come first", want: []string{"virtio_blk"}, plan: "virtio virtio_ring virtio_blk"},
		{name: "what is loaded is left out", want: []string{"virtio_blk", "virtio_pci"}, loaded: set("virtio", "virtio_pci"), plan: "virtio_ring virtio_blk"},
		{name: "each comes once", want: []string{"virtio_blk", "virtio_blk", "virtio"}, plan: "virtio virtio_ring virtio_blk"},
		{name: "a soft need may be an alias of two", want: []string{"ext4"}, plan: "crc32c_generic crc32c_intel jbd2 ext4"},
		{name: "the blacklist holds for aliases", want: []string{"ext4"}, blacklist: set("crc32c_intel"), plan: "crc32c_generic jbd2 ext4"},
		{name: "the blacklist does not hold for needs", want: []string{"ext4"}, blacklist: set("jbd2", "ext4"), plan: "crc32c_generic crc32c_intel jbd2 ext4"},
		{name: "a soft post comes after", want: []string{"uas"}, plan: "scsi_mod usb_storage uas ring_b ring_a"},
		{name: "a circle ends", want: []string{"ring_a"}, plan: "ring_b ring_a"},
		{name: "what is built in or unknown is left out", want: []string{"squashfs", "nobody"}, plan: ""},
	} {
		got := strings.Join(tree.LoadPlan(c.want, c.loaded, c.blacklist), " ")
		if got != c.plan {
			t.Errorf("%s: got %s, want %s", c.name, got, c.plan)
		}
	}
}

func TestColdplugGoesOnAsLongAsDriversShowDevices(t *testing.T) {
	kernel := &boottest.Modules{
		Devices: []string{"pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "acpi:PNP0F13:"},
		Reveals: map[string][]string{
			"virtio_pci": {"virtio:d00000002v00001AF4", "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00"},
		},
	}
	d := drivers(t, kernel, "modprobe.blacklist=uas usb-storage.delay_use=0")
	r := d.Coldplug(t.Context(), nil)
	want := strings.Fields("virtio virtio_ring virtio_pci virtio_blk scsi_mod usb_storage")
	if !reflect.DeepEqual(kernel.Inserted, want) || !reflect.DeepEqual(r.Loaded, want) || len(r.Failed) > 0 {
		t.Errorf("inserted %v, report %+v, want %v", kernel.Inserted, r, want)
	}
	if kernel.Parameters["usb_storage"] != "delay_use=0" || len(kernel.Parameters) != 1 {
		t.Errorf("got parameters %v, want usb_storage's", kernel.Parameters)
	}
	if again := d.Coldplug(t.Context(), nil); len(again.Loaded)+len(again.Failed) > 0 {
		t.Errorf("a second coldplug did %+v, want nothing", again)
	}
}

func TestColdplugLooksAgainOnlyAfterAModuleWasLoaded(t *testing.T) {
	kernel := &counting{Modules: boottest.Modules{Devices: []string{"virtio:d00000002v00001AF4"}}}
	d := drivers(t, kernel, "")
	d.Coldplug(t.Context(), nil)
	d.Coldplug(t.Context(), nil)
	if kernel.asked != 3 {
		t.Errorf("asked %d times for devices, want twice and once", kernel.asked)
	}
}

func TestColdplugStopsAfterTheRoundThatIsEnough(t *testing.T) {
	kernel := &counting{Modules: boottest.Modules{Devices: []string{"virtio:d00000002v00001AF4"},
		Reveals: map[string][]string{"virtio_blk": {"usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00"}}}}
	d := drivers(t, kernel, "")
	enough := func() bool { return slices.Contains(kernel.Inserted, "virtio_blk") }
	if r := d.Coldplug(t.Context(), enough); kernel.asked != 1 || slices.Contains(r.Loaded, "usb_storage") || !enough() {
		t.Errorf("asked %d times, loaded %v; want one round, without usb_storage", kernel.asked, r.Loaded)
	}
	if r := d.Coldplug(t.Context(), nil); !slices.Contains(r.Loaded, "usb_storage") {
		t.Errorf("the next time it loaded %v, want what was left over", r.Loaded)
	}
}

// Most disks hang on PCI; a board's are on no such bus, and are looked for too.
func TestWhoWaitsForADiskAsksTheBusesOfDisksFirst(t *testing.T) {
	const usb = "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00"
	kernel := &counting{Modules: boottest.Modules{Devices: []string{usb, "virtio:d00000002v00001AF4"}}}
	r := drivers(t, kernel, "").Coldplug(t.Context(), func() bool { return slices.Contains(kernel.Inserted, "virtio_blk") })
	if !slices.Contains(r.Loaded, "virtio_blk") || slices.Contains(r.Loaded, "usb_storage") || kernel.asked != 1 {
		t.Errorf("asked %d times, loaded %v", kernel.asked, r.Loaded)
	}
	kernel = &counting{Modules: boottest.Modules{Devices: []string{usb}}}
	r = drivers(t, kernel, "").Coldplug(t.Context(), func() bool { return slices.Contains(kernel.Inserted, "usb_storage") })
	if !slices.Contains(r.Loaded, "usb_storage") || kernel.asked != 2 {
		t.Errorf("asked %d times, loaded %v; want the other buses after the first", kernel.asked, r.Loaded)
	}
	kernel = &counting{}
	if r = drivers(t, kernel, "").Coldplug(t.Context(), func() bool { return false }); len(r.Loaded) > 0 || kernel.asked != 2 {
		t.Errorf("asked %d times, loaded %v; want an end", kernel.asked, r.Loaded)
	}
}

func TestDevicesThatWereListedAreNotTheOnlyOnes(t *testing.T) {
	kernel := &boottest.Modules{Devices: []string{"virtio:d00000002v00001AF4"}}
	devices, err := boot.ListDevices(kernel)
	if err != nil || len(kernel.Inserted) > 0 {
		t.Fatalf("inserted %v, %v", kernel.Inserted, err)
	}
	kernel.Devices = []string{"usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00"} // one has gone, one has come
	r := drivers(t, kernel, "").ColdplugListed(t.Context(), devices)
	for _, want := range []string{"virtio_blk", "usb_storage"} {
		if !slices.Contains(r.Loaded, want) {
			t.Errorf("loaded %v, want %s too", r.Loaded, want)
		}
	}
	other := &boottest.Modules{Devices: kernel.Devices}
	if r := drivers(t, other, "").ColdplugListed(t.Context(), boot.Devices{}); !slices.Contains(r.Loaded, "usb_storage") {
		t.Errorf("loaded %v where nothing was listed", r.Loaded)
	}
}

// The initramfs's drivers are asked first, then the modloop's.
func TestAListOfDevicesServesTwice(t *testing.T) {
	kernel := &boottest.Modules{Devices: []string{"virtio:d00000002v00001AF4"},
		Reveals: map[string][]string{"virtio_blk": {"usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00"}}}
	devices, err := boot.ListDevices(kernel)
	if err != nil {
		t.Fatal(err)
	}
	few := drivers(t, kernel, "")
	few.Leave("kernel/usb")
	if r := few.ColdplugListed(t.Context(), devices); !slices.Contains(r.Loaded, "virtio_blk") || slices.Contains(r.Loaded, "usb_storage") {
		t.Errorf("loaded %v", r.Loaded)
	}
	if r := drivers(t, kernel, "").ColdplugListed(t.Context(), devices); !slices.Contains(r.Loaded, "usb_storage") {
		t.Errorf("the second time it loaded %v: what came after the list was made is not asked for", r.Loaded)
	}
}

func TestADriverOfAFolderThatIsLeftLoadsOnlyByNameAndByNeed(t *testing.T) {
	kernel := &boottest.Modules{Devices: []string{"usb:v1p1d1dc0dsc0dp0ic08isc06ip50in0"}}
	d := drivers(t, kernel, "")
	d.Leave("kernel/us", "kernel/usb", "kernel/scsi")
	if r := d.Coldplug(t.Context(), nil); len(r.Loaded)+len(r.Failed) > 0 {
		t.Errorf("a device got %v, %v of a folder that is left", r.Loaded, r.Failed)
	}
	if r := d.Load(t.Context(), "usb-storage"); strings.Join(r.Loaded, " ") != "scsi_mod usb_storage" {
		t.Errorf("by name it got %v, %v", r.Loaded, r.Failed)
	}
	other := drivers(t, &boottest.Modules{Devices: kernel.Devices}, "")
	other.Leave("kernel/us", "kernel/scsi")
	if r := other.Coldplug(t.Context(), nil); !reflect.DeepEqual(r.Loaded[:2], []string{"scsi_mod", "usb_storage"}) {
		t.Errorf("got %v; kernel/us is not kernel/usb, and a need is loaded", r.Loaded)
	}
}

type counting struct {
	boottest.Modules
	asked int
}

func (c *counting) Modaliases(known map[string]bool, buses ...string) ([]string, error) {
	c.asked++
	return c.Modules.Modaliases(known, buses...)
}

func TestAModuleThatFailsIsToldAndTheRestGoesOn(t *testing.T) {
	kernel := &boottest.Modules{
		Devices: []string{"usb:v1p1d1dc00dsc00dp00ic08isc06ip50in00", "virtio:d00000002v00001AF4"},
		Refuses: map[string]error{"scsi_mod": fs.ErrNotExist, "virtio": unix.ENODEV},
	}
	d := drivers(t, kernel, "")
	r := d.Coldplug(t.Context(), nil)
	if len(kernel.Inserted) != 2 || len(r.Failed) != 6 { // ring_b and ring_a after uas; all else needs what failed
		t.Fatalf("inserted %v, failed %v", kernel.Inserted, r.Failed)
	}
	var e *boot.ModuleError
	if !errors.As(r.Failed[0], &e) || e.Module != "scsi_mod" || !errors.Is(e, fs.ErrNotExist) {
		t.Errorf("got %v, want scsi_mod's own error", r.Failed[0])
	}
	if text := r.Failed[1].Error(); !strings.Contains(text, "usb_storage") || !strings.Contains(text, "it needs scsi_mod") {
		t.Errorf("got %q, want the module and what it needs", text)
	}
	kernel.Refuses = nil
	if r := d.LoadFor(t.Context(), "virtio:d00000002v1"); len(r.Failed)+len(r.Loaded) > 0 {
		t.Errorf("got %+v, want no second try for another device", r)
	}
	if r := d.Load(t.Context(), "virtio_blk"); len(r.Failed) > 0 || len(r.Loaded) != 3 {
		t.Errorf("got %+v, want a second try with all its needs when asked for by name", r)
	}
}

func TestLoadTakesNamesAndAliases(t *testing.T) {
	kernel := &boottest.Modules{Present: []string{"virtio"}}
	r := drivers(t, kernel, "").Load(t.Context(), "virtio-ring", "fs-ext4", "loop", "virtio", "virtio_rng")
	want := strings.Fields("virtio_ring crc32c_generic crc32c_intel jbd2 ext4")
	if !reflect.DeepEqual(r.Loaded, want) {
		t.Errorf("loaded %v, want %v", r.Loaded, want)
	}
	if len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Error(), "no module or alias virtio_rng in /") ||
		step.HintOf(r.Failed[0]) != "the nearest name is virtio_ring" {
		t.Errorf("got %v, want virtio_rng with a hint", r.Failed)
	}
}

func TestAUeventsDeviceIsDealtWithOnce(t *testing.T) {
	kernel := &boottest.Modules{Refuses: map[string]error{"virtio_blk": unix.ENODEV}}
	d := drivers(t, kernel, "")
	if r := d.LoadFor(t.Context(), "virtio:d00000002v00001AF4", "acpi:X:"); len(r.Loaded) != 2 || len(r.Failed) != 1 {
		t.Errorf("got %+v", r)
	}
	if r := d.LoadFor(t.Context(), "virtio:d00000002v00001AF4"); len(r.Loaded)+len(r.Failed) != 0 {
		t.Errorf("got %+v for the second time, want nothing", r)
	}
}

func TestLoadingEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	cancel(stop)
	kernel := &boottest.Modules{}
	r := drivers(t, kernel, "").Load(ctx, "ext4")
	if len(kernel.Inserted) > 0 || len(r.Failed) != 1 || !errors.Is(r.Failed[0], stop) {
		t.Errorf("inserted %v, failed %v, want one error %v", kernel.Inserted, r.Failed, stop)
	}
}

func TestTablesThatWereReadAheadAreUsedWhereTheyAreTheFolders(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, treeFS()); err != nil {
		t.Fatal(err)
	}
	// Of the same sizes, so that it shows which of the two were used.
	ahead := treeFS()
	ahead["modules.dep"] = &fstest.MapFile{Data: bytes.ReplaceAll(ahead["modules.dep"].Data, []byte("virtio_blk"), []byte("virtio_new"))}
	tables, err := boot.ReadTables(ahead)
	if err != nil {
		t.Fatal(err)
	}
	loads := func(name string) bool {
		d, err := boot.OpenDriversWith(tables, dir, &boottest.Modules{}, boot.Cmdline{})
		if err != nil {
			t.Fatal(err)
		}
		return len(d.Load(t.Context(), name).Loaded) > 0
	}
	if !loads("virtio_new") || loads("virtio_blk") {
		t.Error("the tables that were read ahead are not used")
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.softdep"), []byte("# another release's\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if loads("virtio_new") || !loads("virtio_blk") {
		t.Error("tables of another folder are used")
	}
	tables = boot.Tables{}
	if !loads("virtio_blk") {
		t.Error("the folder's own tables are not used where none were read ahead")
	}
	if _, err := boot.ReadTables(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a folder without tables: %v", err)
	}
}

func TestAFolderWithoutTablesIsAnErrorWithAHint(t *testing.T) {
	_, err := boot.OpenDrivers(t.TempDir(), &boottest.Modules{}, boot.Cmdline{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(step.HintOf(err), "depmod") {
		t.Errorf("got %v with hint %q", err, step.HintOf(err))
	}
	broken := errors.New("broken")
	dir := t.TempDir()
	if err := os.CopyFS(dir, treeFS()); err != nil {
		t.Fatal(err)
	}
	if _, err := boot.OpenDrivers(dir, &boottest.Modules{Broken: broken}, boot.Cmdline{}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestDevicesAreReadFromSysfs(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"sys/bus/pci/devices/0000:00:01.0/modalias": "pci:v1\n",
		"sys/bus/pci/devices/0000:00:02.0/modalias": "pci:v1\n", // the same kind again
		"sys/bus/pci/devices/0000:00:03.0/uevent":   "DRIVER=sdhci\nMODALIAS=told in modalias\n",
		"sys/bus/platform/devices/empty/modalias":   "\n",
		"sys/bus/virtio/devices/virtio0/modalias":   "virtio:d1\n",
		"sys/bus/mmc/devices/mmc0:4567/uevent":      "MMC_TYPE=SD\nMODALIAS=mmc:block\n",
		"sys/class/dmi/id/modalias":                 "dmi:bvnX:\n",
		"sys/class/input/input3/modalias":           "input:b1\n",
		"sys/class/tty/tty1/modalias":               "no driver looks here\n",
		"sys/devices/system/cpu/modalias":           "cpu:type:x86,ven0000fam0006mod0055:feature:,0000\n",
		"proc/modules":                              "loop 40960 0 - Live 0x0\nusb_storage 1 1 uas, Live 0x0\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A device that went away while the bus was read.
	if err := os.Symlink("nowhere", filepath.Join(root, "sys/bus/pci/devices/gone")); err != nil {
		t.Fatal(err)
	}
	kernel := boot.LinuxModules{Root: root}
	known := map[string]bool{}
	if got, err := kernel.Modaliases(map[string]bool{}, "mmc", "virtio", "none"); err != nil || !reflect.DeepEqual(got, []string{"mmc:block", "virtio:d1"}) {
		t.Errorf("of two buses: got %q, %v", got, err)
	}
	got, err := kernel.Modaliases(known)
	slices.Sort(got)
	if want := []string{"dmi:bvnX:", "input:b1", "mmc:block", "pci:v1", "virtio:d1"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	virtio := filepath.Join(root, "sys/bus/virtio/devices")
	if err := errors.Join(os.Mkdir(virtio+"/virtio1", 0o755), os.WriteFile(virtio+"/virtio1/modalias", []byte("virtio:d2\n"), 0o644),
		os.WriteFile(virtio+"/virtio0/modalias", []byte("not read again\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if got, err := kernel.Modaliases(known); err != nil || !reflect.DeepEqual(got, []string{"virtio:d2"}) {
		t.Errorf("got %v, %v when asked again, want the device that came alone", got, err)
	}
	loaded, err := kernel.Loaded()
	if want := []string{"loop", "usb_storage"}; err != nil || !reflect.DeepEqual(loaded, want) {
		t.Errorf("got %v, %v, want %v", loaded, err, want)
	}
	if got, err := (boot.LinuxModules{Root: t.TempDir()}).Modaliases(map[string]bool{}); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v without sysfs, want nothing", got, err)
	}
	if loaded, err := (boot.LinuxModules{Root: t.TempDir()}).Loaded(); err != nil || loaded != nil {
		t.Errorf("got %v, %v of a kernel without modules, want nothing", loaded, err)
	}
}

func FuzzModuleTree(f *testing.F) {
	f.Add(tables["modules.dep"], tables["modules.softdep"], tables["modules.builtin"], "ext4")
	f.Add("a.ko: b.ko\nb.ko: a.ko c.ko", "softdep a pre: b post: a", "", "a")
	f.Fuzz(func(t *testing.T, dep, soft, builtin, want string) {
		tree, err := boot.ReadModuleTree(fstest.MapFS{
			"modules.dep":     {Data: []byte(dep)},
			"modules.softdep": {Data: []byte(soft)},
			"modules.builtin": {Data: []byte(builtin)},
		})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, name := range tree.LoadPlan(tree.Named(want, nil), nil, nil) {
			if seen[name] || tree.Modules[name].File == "" || tree.Builtin[name] {
				t.Errorf("%s is planned twice, has no file or is built in", name)
			}
			seen[name] = true
		}
	})
}
