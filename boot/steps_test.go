package boot_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"psyopsOS/boot"
	"psyopsOS/boot/boottest"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/netif"
	"psyopsOS/release"
	"psyopsOS/step"
)

// A network card's driver that the initramfs has does not keep the disk's.
func TestACardsDriverAtHandIsLoadedBesideTheSearch(t *testing.T) {
	w := newWorld(t)
	w.write("lib/modules/"+kernel+"/modules.dep", "kernel/drivers/net/virtio_net.ko:\nkernel/drivers/block/virtio_blk.ko:\n")
	w.write("lib/modules/"+kernel+"/modules.alias", "alias virtio:d00000001v* virtio_net\nalias virtio:d00000002v* virtio_blk\n")
	w.modules.Devices = []string{"virtio:d00000001v00001AF4", "virtio:d00000002v00001AF4"}
	if err := w.boot("psyopsos=psyopsOS-A"); err != nil {
		t.Fatal(err)
	}
	loaded := map[string]string{}
	for _, e := range w.events.Events {
		if e.Kind == step.Note && strings.HasPrefix(e.Message, "loaded ") {
			loaded[e.Step] += e.Message
		}
	}
	want := map[string]string{"load storage drivers": "loaded virtio_blk", "load drivers at hand": "loaded virtio_net"}
	if !reflect.DeepEqual(loaded, want) {
		t.Errorf("%q, want %q", loaded, want)
	}
}

func TestABootEndsInTheNewInitWithTheDiskLetGo(t *testing.T) {
	w := newWorld(t)
	if err := w.boot("psyopsos=psyopsOS-A psyopsos.boot=good init_args=single"); err != nil {
		t.Fatal(err)
	}
	if len(w.handed) != 1 || w.handed[0].Init != "/sbin/init" || !reflect.DeepEqual(w.handed[0].Args, []string{"single"}) {
		t.Errorf("handed over %+v", w.handed)
	}
	if users, err := mounts.UsersOf(w.storage, "vda"); err != nil || len(users) > 0 {
		t.Errorf("the boot disk is used by %q, %v", users, err)
	}
	for key, want := range map[string]any{"device": "vda3", "toram": true, "boot_disk_in_use": false, "release": "20261121-101500"} {
		if got := w.fact(key); got != want {
			t.Errorf("fact %s is %v, want %v", key, got, want)
		}
	}
	if link, err := os.Readlink(filepath.Join(w.machine.Root, "newroot/lib/modules")); link != "/.modloop/modules" {
		t.Errorf("lib/modules leads to %q, %v", link, err)
	}
	text, err := os.ReadFile(filepath.Join(w.machine.Root, layout.BootJSON))
	if err != nil {
		t.Fatal(err)
	}
	var report boot.Report
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if report.Side != layout.SideA || report.Why != "good" || report.Facts["toram"] != true {
		t.Errorf("boot.json tells %+v", report)
	}
}

func TestMemoryDecidesWhetherTheImageIsCopied(t *testing.T) {
	for _, c := range []struct {
		name, words string
		memory      int64
		toRAM       any
		fails       bool
	}{
		{"auto copies what fits", "", 1 << 30, true, false},
		{"auto runs from the disk otherwise", "", 64 << 20, false, false},
		{"yes insists", "psyopsos.toram=yes", 64 << 20, nil, true},
		{"no never copies", "psyopsos.toram=no", 1 << 30, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.storage.Memory = c.memory
			err := w.boot("psyopsos=psyopsOS-A " + c.words)
			if (err != nil) != c.fails {
				t.Fatalf("got %v, want failure %v", err, c.fails)
			}
			if c.fails {
				if !strings.Contains(err.Error(), "96.0 MiB") || !strings.Contains(err.Error(), "64.0 MiB") {
					t.Errorf("both numbers should stand in %q", err)
				}
				return
			}
			if got := w.fact("toram"); got != c.toRAM {
				t.Errorf("toram is %v, want %v", got, c.toRAM)
			}
			if inUse := w.fact("boot_disk_in_use"); inUse != !c.toRAM.(bool) {
				t.Errorf("boot_disk_in_use is %v", inUse)
			}
		})
	}
}

func TestTheBootedDiskWinsAndTheOtherIsNamed(t *testing.T) {
	w := newWorld(t)
	w.plug("vdb", "0bbb", "1bbb")
	if err := w.boot("psyopsos=psyopsOS-A psyopsos.disk=0BBB"); err != nil {
		t.Fatal(err)
	}
	if got := w.fact("device"); got != "vdb3" {
		t.Errorf("booted from %v, want vdb3", got)
	}
	if !strings.Contains(w.warnings(), "vda3") {
		t.Errorf("the other disk is not named in %q", w.warnings())
	}
}

// A lateDisk comes when the drivers of the modloop are loaded.
type lateDisk struct {
	boot.Modules
	w *world
}

func (l lateDisk) Modaliases(known map[string]bool, buses ...string) ([]string, error) {
	if l.w.storage.Mounted(filepath.Join(l.w.machine.Root, layout.ModloopDir)) {
		l.w.late.Do(func() { l.w.plug("vdb", "0bbb", "1bbb") })
	}
	return l.Modules.Modaliases(known, buses...)
}

func TestADiskThatComesLaterIsStillNamed(t *testing.T) {
	w := newWorld(t)
	w.machine.Modules = lateDisk{w.modules, w}
	if err := w.boot("psyopsos=psyopsOS-A psyopsos.disk=0aaa"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(w.warnings(), "vdb3"); got != 1 {
		t.Errorf("the disk that came later is named %d times in %q, want once", got, w.warnings())
	}
}

func TestALateStickIsFoundByItsEventAlone(t *testing.T) {
	w := newWorld(t)
	w.storage.Unplug("vda")
	started := make(chan bool)
	go func() {
		defer close(started)
		// Not before the look of somebody who listens, or that one finds it.
		for w.storage.Listeners() == 0 || w.storage.Count("Devices") < 2 {
			if t.Context().Err() != nil {
				return
			}
			runtime.Gosched()
		}
		w.storage.Send(mounts.Uevent{Action: "add", Subsystem: "usb", Modalias: "usb:v1234"})
		w.plug("vdc", "0ccc", "1ccc")
		w.storage.Send(mounts.Uevent{Action: "add", Subsystem: "block", Devname: "vdc3"})
	}()
	err := w.boot("psyopsos=psyopsOS-A psyopsos.wait=20")
	<-started
	if err != nil {
		t.Fatal(err)
	}
	if looks := w.fact("looks"); looks != 3 {
		t.Errorf("looked %v times, want once at first, once when somebody listened, and once after the stick came", looks)
	}
}

func TestASideThatIsThereIsFoundWithoutListening(t *testing.T) {
	w := newWorld(t)
	w.storage.Fail["Uevents"] = syscall.EIO
	if err := w.boot("psyopsos=psyopsOS-A"); err != nil {
		t.Error(err)
	}
	w = newWorld(t)
	w.storage.Unplug("vda")
	w.storage.Fail["Uevents"] = syscall.EIO
	if err := w.boot("psyopsos=psyopsOS-A"); !errors.Is(err, syscall.EIO) {
		t.Errorf("without a disk, and unable to listen for one, the boot ended with %v", err)
	}
}

// A lateCard is there for whoever asks after somebody listens to events, and
// has told its own to nobody.
type lateCard struct {
	*boottest.Modules
	w *world
}

func (c lateCard) Modaliases(known map[string]bool, buses ...string) ([]string, error) {
	if c.w.storage.Listeners() == 0 {
		return nil, nil
	}
	return []string{"mmc:block"}, nil
}

func (c lateCard) Insert(file, parameters string) error {
	c.w.plug("vdc", "0aaa", "1aaa")
	return c.Modules.Insert(file, parameters)
}

func TestACardBetweenTheDriversAndTheSearchIsFoundWithoutAnEvent(t *testing.T) {
	for _, line := range []string{"psyopsos=psyopsOS-A psyopsos.wait=5", "root=LABEL=psyopsOS-A psyopsos.wait=5"} {
		w := newWorld(t)
		w.storage.Unplug("vda")
		w.write("lib/modules/"+kernel+"/modules.dep", "mmc_block.ko:\n")
		w.write("lib/modules/"+kernel+"/modules.alias", "alias mmc:block mmc_block\n")
		w.machine.Modules = lateCard{w.modules, w}
		if err := w.boot(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if w.storage.Listeners() > 0 {
			t.Error("somebody still listens")
		}
	}
}

func TestNoSideIsAFailureThatTellsWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	w.storage.Unplug("vda")
	w.storage.Plug(mounts.Device{Name: "vda2", Disk: "vda", Partition: 2}, ext4(layout.Secret))
	err := w.boot("psyopsos=psyopsOS-A psyopsos.wait=0")
	if err == nil || !strings.Contains(err.Error(), "no volume labelled psyopsOS-A") || !strings.Contains(err.Error(), "psyops-secret (vda2)") {
		t.Errorf("got %v", err)
	}
}

// Whatever fails, the new init is not started, nothing was written to the
// disk, and what is needed to try again is there.
func TestAFailureOfAnyStepLeavesTheRestUntouched(t *testing.T) {
	whole := newWorld(t)
	if err := whole.boot("psyopsos=psyopsOS-A"); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"Devices", "Mount", "LoopMount", "MemAvailable", "Unmount", "Mounts"} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t)
			w.storage.Fail[method] = syscall.EIO
			if err := w.boot("psyopsos=psyopsOS-A psyopsos.wait=0"); err == nil {
				t.Fatalf("the boot did not notice that %s fails", method)
			}
			if len(w.handed) != 0 {
				t.Error("handed over all the same")
			}
			for _, call := range w.storage.Calls() {
				if strings.HasPrefix(call, "Mount /dev/") && !strings.Contains(call, "ro") {
					t.Errorf("a disk was mounted writable: %s", call)
				}
			}
		})
	}
}

func TestAPlainRootBootsWithoutSidesAndKeys(t *testing.T) {
	w := newWorld(t)
	w.keys = release.Keys{}
	if err := w.boot("root=LABEL=psyopsOS-B rootfstype=squashfs init=/bin/sh"); err != nil {
		t.Fatal(err)
	}
	if len(w.handed) != 1 || w.handed[0].Init != "/bin/sh" {
		t.Errorf("handed over %+v", w.handed)
	}
}

func TestStepsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	var walk func([]step.Step)
	walk = func(steps []step.Step) {
		for _, s := range steps {
			for _, line := range s.Lines() {
				walk(line)
			}
			if len(s.Lines()) > 0 {
				continue
			}
			if s.Name == "" || seen[s.Name] {
				t.Errorf("step name %q is empty or there twice", s.Name)
			}
			seen[s.Name] = true
		}
	}
	c, _ := boot.ParseCmdline("psyopsos=psyopsOS-A")
	walk(boot.Steps(c, boot.Machine{}))
}

// mode is the file's mode below the new root, and its content.
func (w *world) installed(name string) (string, os.FileMode) {
	w.t.Helper()
	path := filepath.Join(w.machine.Root, "newroot", name)
	info, err := os.Stat(path)
	if err != nil {
		w.t.Error(err)
		return "", 0
	}
	content, _ := os.ReadFile(path)
	return string(content), info.Mode().Perm()
}

func TestTheNodeGetsItsNameAndItsLinksTheirs(t *testing.T) {
	w := newWorld(t)
	w.links.Links = []netif.Link{
		{Index: 1, Name: "lo", Loopback: true, MAC: "00:00:00:00:00:00"},
		{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:02", Physical: true},
		{Index: 3, Name: "eth1", MAC: "02:00:00:00:00:01", Physical: true},
	}
	if err := w.boot("psyopsos=psyopsOS-A"); err != nil {
		t.Fatal(err)
	}
	if name, mode := w.installed("etc/hostname"); name != "demo\n" || mode != 0o644 {
		t.Errorf("hostname is %q, %v", name, mode)
	}
	if env, _ := w.installed(layout.SecretEnv); !strings.HasPrefix(env, "PSYOPSOS_NODENAME=demo\n") {
		t.Errorf("the env file is %q", env)
	}
	if _, mode := w.installed(layout.MountSecretParent); mode != 0o700 {
		t.Errorf("the secrets' parent has mode %v", mode)
	}
	if !slices.ContainsFunc(w.events.Events, func(e step.Event) bool { return e.Message == "eth1 is now psy0" }) {
		t.Error("the new name is not told")
	}
	if links, _ := w.links.List(false); links[2].Name != "psy0" {
		t.Errorf("the links are %v", links)
	}
	if text, _ := w.installed("etc/network/interfaces"); !strings.Contains(text, "iface eth0 inet dhcp") {
		t.Errorf("interfaces are %q, want DHCP on the first wired link", text)
	}
	if w.storage.Mounted(filepath.Join(w.machine.Root, "mnt/psyops-secret-volume")) {
		t.Error("the volume stays mounted")
	}
}

func TestTheCommandLineMayNameTheAddressOfANodeWithoutANetwork(t *testing.T) {
	const static = "psyopsos=psyopsOS-A ip=10.0.2.20::10.0.2.2:255.255.255.0:::none:10.0.2.3"
	link := netif.Link{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:09", Physical: true}
	w := newWorld(t)
	w.links.Links = []netif.Link{link}
	if err := w.boot(static); err != nil {
		t.Fatal(err)
	}
	if text, _ := w.installed("etc/network/interfaces"); !strings.Contains(text, "iface eth0 inet static\n\taddress 10.0.2.20\n") {
		t.Errorf("interfaces are %q", text)
	}
	if text, mode := w.installed("etc/resolv.conf"); text != "nameserver 10.0.2.3\n" || mode != 0o644 {
		t.Errorf("resolv.conf is %q, %v", text, mode)
	}
	w = newWorld(t)
	w.links.Links = []netif.Link{link}
	w.volume["network.interfaces"] = "auto psy7\n"
	if err := w.boot(static); err != nil {
		t.Fatal(err)
	}
	if text, _ := w.installed("etc/network/interfaces"); text != "auto psy7\n" {
		t.Errorf("the node's own interfaces became %q", text)
	}
	if _, err := os.Stat(filepath.Join(w.machine.Root, "newroot/etc/resolv.conf")); err == nil {
		t.Error("ip= served a node that has a network of its own")
	}
}

func TestTheRunningSystemsModprobeKnowsTheCommandLine(t *testing.T) {
	w := newWorld(t)
	if err := w.boot("psyopsos=psyopsOS-A blacklist=evdev,snd-pcsp dummy.numdummies=3"); err != nil {
		t.Fatal(err)
	}
	want := "blacklist evdev\nblacklist snd_pcsp\noptions dummy numdummies=3\n"
	if got, _ := w.installed("etc/modprobe.d/kernel-command-line.conf"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestANodeWithoutSecretsBootsUnconfigured(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		told   string
	}{
		{"no volume", func(w *world) { w.storage.Unplug("vda2") }, "no volume labelled psyops-secret"},
		{"a volume that cannot be mounted", func(w *world) {
			fill := w.storage.OnMount
			w.storage.OnMount = func(m mounts.Mount) error {
				if m.Source == "/dev/vda2" {
					return syscall.EUCLEAN
				}
				return fill(m)
			}
		}, syscall.EUCLEAN.Error()},
		{"a name that a shell would obey", func(w *world) { w.volume["nodename"] = "$(reboot)" }, "nodename"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			if err := w.boot("psyopsos=psyopsOS-A psyopsos.wait=0"); err != nil {
				t.Fatal(err)
			}
			if name, _ := w.installed("etc/hostname"); name != layout.Unconfigured+"\n" {
				t.Errorf("hostname is %q", name)
			}
			if name := w.fact("nodename"); name != layout.Unconfigured {
				t.Errorf("the fact nodename is %v", name)
			}
			if !strings.Contains(w.warnings(), c.told) {
				t.Errorf("warned of %q, want %q", w.warnings(), c.told)
			}
		})
	}
}
