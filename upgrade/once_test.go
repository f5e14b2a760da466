package upgrade

import (
	"bytes"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/efi"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
)

// withFirmware gives the node a firmware whose variables can be written, and
// its first partition what a boot entry names.
func (w *world) withFirmware() *world {
	w.t.Helper()
	for _, dir := range []string{efi.Mountpoint, "/sys/class/block/vda1"} {
		if err := os.MkdirAll(filepath.Join(w.root, dir), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	w.write("/sys/class/block/vda1/start", []byte("2048\n"))
	if err := w.fake.Mount(mounts.Mount{Source: "efivarfs", Target: efi.Mountpoint, Type: "efivarfs"}); err != nil {
		w.t.Fatal(err)
	}
	file := w.images["/dev/vda1"]
	w.fake.Unplug("vda1")
	f, err := os.Open(file)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { f.Close() })
	w.fake.PlugReader(mounts.Device{Name: "vda1", Disk: "vda", Partition: 1, PartUUID: "0fc63daf-8483-4772-8e79-3d69d8477de4", DiskUUID: "disk", Size: 40 << 20}, f)
	return w
}

func (w *world) once() efi.Once {
	return efi.Once{Variables: efi.Dir(filepath.Join(w.root, efi.Mountpoint)), Prefix: entryPrefix}
}

// firmware starts the machine, and gives the version of the loader that it
// takes: BootNext is used up.
func (w *world) firmware() string {
	w.t.Helper()
	asked, err := w.once().Asked()
	if err != nil {
		w.t.Fatal(err)
	}
	if !asked.Next {
		return w.loaderIs("/dev/vda1")
	}
	if err := w.once().TakeBack(); err != nil {
		w.t.Fatal(err)
	}
	if want := (efi.Partition{Number: 1, Start: 2048, Sectors: 40 << 11, UUID: "0fc63daf-8483-4772-8e79-3d69d8477de4"}); asked.Partition != want {
		w.t.Errorf("the boot entry is of %+v, want %+v", asked.Partition, want)
	}
	content := w.esp("/dev/vda1", asked.File)
	if !bytes.HasPrefix(content, fakeLoader(bootstate.LoaderVersion(content))) {
		w.t.Errorf("%s is no whole loader", asked.File)
	}
	return bootstate.LoaderVersion(content)
}

// espNames are the files in the root of the first EFI system partition.
func (w *world) espNames() []string {
	w.t.Helper()
	f, err := os.Open(w.images["/dev/vda1"])
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	names, err := bootstate.ListRoot(f)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestANewLoaderIsTriedOnceAndItsCommitMakesItTheDefault(t *testing.T) {
	w := newWorld(t).withFirmware()
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
	out, _ := w.must(0, "apply", "efisys", "--repository", w.repo, "--dry-run")
	has(t, out, "let the firmware try the loader", layout.LoaderSpare)
	_, stderr := w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "neuralupgrade INFO Updated efisys PSYOPSOSEFI with "+w.repo, "the loader of release "+v2+" is started once, with the next restart")
	if one, two := w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"); one != v1 || two != v1 {
		t.Errorf("the loaders are %s and %s before the try", one, two)
	}
	if got, want := fmt.Sprint(w.espNames()), fmt.Sprint([]string{layout.Manifest, "memtest64.efi", layout.ESPTarWaiting}); got != want {
		t.Errorf("the partition has %s, want %s", got, want)
	}
	out, _ = w.must(0, "show")
	has(t, out, "new_loader: "+v2+" is started once", "unsigned: there is no "+layout.ESPTarSignature)
	w.must(0, "check", "--target", "efisys", "--repository", w.repo)
	out, _ = w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, out, v2+" is started once, with the next restart", "nothing to do")

	// Nothing else changes in this boot.
	w.publish(makeBundle(t, v2))
	for _, command := range [][]string{{"apply", "nonbooted", "--repository", w.repo}, {"rollback"}, {"reboot", "--kexec"}} {
		_, stderr = w.must(1, command...)
		has(t, stderr, "a new loader is started with the next restart")
	}
	w.must(0, "commit")
	if one := w.loaderIs("/dev/vda1"); one != v1 {
		t.Errorf("a commit before the try has made %s the default", one)
	}

	by := w.firmware()
	w.bootsBy(by, layout.SideA, v1, bootstate.Good)
	if by != v2 {
		t.Fatalf("the firmware starts %s", by)
	}
	out, _ = w.must(0, "status")
	has(t, out, "loader:    "+v2+" runs; a commit makes it the default")
	_, stderr = w.must(1, "apply", "efisys", "--repository", w.repo, "--force")
	has(t, stderr, "the loader of release "+v2+" runs, and is not the default yet", "`neuralupgrade commit`")
	out, _ = w.must(0, "commit")
	has(t, out, "the loader, on /dev/vda1, is version "+v2+" now", "the second loader, on /dev/vda5, is version "+v2+" now")
	if one, two := w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"); one != v2 || two != v2 {
		t.Errorf("after the commit the loaders are %s and %s", one, two)
	}
	if got, want := fmt.Sprint(w.espNames()), fmt.Sprint([]string{layout.Manifest, "memtest64.efi", layout.ESPTarSignature}); got != want {
		t.Errorf("the partition has %s, want %s", got, want)
	}
	w.fsck("/dev/vda1")
	w.fsck("/dev/vda5")
	if by := w.firmware(); by != v2 {
		t.Errorf("then the firmware starts %s", by)
	}
	out, _ = w.must(0, "show")
	if strings.Contains(out, "new_loader") || !strings.Contains(out, "loader: "+v2) {
		t.Errorf("show says\n%s", out)
	}
	out, _ = w.must(0, "commit")
	if strings.Contains(out, "loader") {
		t.Errorf("a second commit says %q", out)
	}
	out, _ = w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, out, "PSYOPSOSEFI is version "+v2+": nothing to do")
	w.applies()
}

func TestANewLoaderThatHangsIsGoneAfterAPowerCycleAndNotTriedAgain(t *testing.T) {
	w := newWorld(t).withFirmware()
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, nil))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	if by := w.firmware(); by != v2 {
		t.Fatalf("the firmware starts %s", by)
	}
	by := w.firmware() // it hung, and somebody has cut the power
	w.bootsBy(by, layout.SideA, v1, bootstate.Good)
	if by != v1 {
		t.Fatalf("after the hang the firmware starts %s", by)
	}
	out, _ := w.must(0, "status")
	has(t, out, "loader:    "+v2+" was started once and not committed")
	out, _ = w.must(0, "status", "--json")
	has(t, out, `"new_loader": "`+v2+` was started once and not committed`)
	out, _ = w.must(0, "commit")
	if one := w.loaderIs("/dev/vda1"); one != v1 || strings.Contains(out, v2) {
		t.Errorf("the commit of the old one makes %s the default and says %q", one, out)
	}
	w.must(10, "check", "--target", "efisys", "--repository", w.repo)
	_, stderr := w.must(1, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "the loader of release "+v2+" was started once and not committed", "--force tries it again")
	w.must(0, "apply", "efisys", "--repository", w.repo, "--force")
	if by := w.firmware(); by != v2 {
		t.Errorf("with --force the firmware starts %s", by)
	}
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v3, nil))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	by = w.firmware()
	w.bootsBy(by, layout.SideA, v1, bootstate.Good)
	w.must(0, "commit")
	if one := w.loaderIs("/dev/vda1"); by != v3 || one != v3 {
		t.Errorf("the next release: %s, default %s", by, one)
	}
	w.fsck("/dev/vda1")
	// A side can be updated meanwhile: the old loader is a good one.
	w.publish(makeBundle(t, v2))
	w.applies()
}

// A firmware that knows no BootNext must keep nobody from updates.
func TestAFirmwareThatDoesNotDoWhatItWasAskedIsAskedNoMore(t *testing.T) {
	w := newWorld(t).withFirmware()
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, nil))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	out, _ := w.must(0, "status")
	has(t, out, "loader:    "+v2+" was to be started once, and the firmware has not done it")
	w.must(10, "check", "--target", "efisys", "--repository", w.repo)
	_, stderr := w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "the firmware could not try the loader first: it was asked before, and has not done it")
	if by := w.firmware(); by != v2 || w.loaderIs("/dev/vda1") != v2 || w.esp("/dev/vda1", layout.ESPTarSignature) == nil {
		t.Errorf("the firmware starts %s, the partition has %q", by, w.espNames())
	}
	w = newWorld(t).withFirmware()
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, nil))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publish(makeBundle(t, v2))
	w.applies()
}

// A commit gives a release its signature only if the node's own keys vouch for
// it, so a release of others does not wait for that.
func TestALoaderOfOthersIsReplacedAtOnce(t *testing.T) {
	w := newWorld(t).withFirmware()
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	b := espBundle(t, v2, nil)
	other, secret, err := release.GenerateKey(cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if b.sig, err = release.Sign(secret, bytes.NewReader(b.tar), b.info.Comment(), "test"); err != nil {
		t.Fatal(err)
	}
	w.publishESP(b)
	w.write("/other.pub", other.Text())
	_, stderr := w.must(0, "apply", "efisys", "--repository", w.repo, "--no-verify")
	has(t, stderr, "the firmware could not try the loader first: this node's own keys do not vouch for the release")
	if by := w.firmware(); by != v2 || w.loaderIs("/dev/vda1") != v2 {
		t.Errorf("the firmware starts %s", by)
	}
	// With a key that only this command was given a commit wants that too.
	w = newWorld(t).withFirmware()
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(b)
	w.write("/other.pub", other.Text())
	key := filepath.Join(w.root, "other.pub")
	w.must(0, "apply", "efisys", "--repository", w.repo, "--pubkey", key)
	w.bootsBy(w.firmware(), layout.SideA, v1, bootstate.Good)
	out, _ := w.must(0, "commit")
	has(t, out, "the loader of release "+v2+" stays on trial: no key")
	if one := w.loaderIs("/dev/vda1"); one != v1 {
		t.Errorf("the loader is %s", one)
	}
}

// brittle are variables of which a write fails.
type brittle struct {
	efi.Variables
	set func(name string) error
}

func (b brittle) Set(name string, data []byte) error {
	if err := b.set(name); err != nil {
		return err
	}
	return b.Variables.Set(name, data)
}

// noting is told of every change of BootNext.
type noting struct {
	efi.Variables
	tell func(set byte)
}

func (n noting) Set(name string, data []byte) error {
	if name == "BootNext" {
		n.tell(1)
	}
	return n.Variables.Set(name, data)
}

func (n noting) Remove(name string) error {
	n.tell(0)
	return n.Variables.Remove(name)
}

func TestWithoutVariablesTheLoaderIsReplacedAtOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		node func(*world)
		want string
	}{
		{"no room in the firmware", func(w *world) {
			w.variables = func(dir string) efi.Variables {
				return brittle{efi.Dir(dir), func(string) error { return errors.New("no space left on device") }}
			}
		}, "the firmware does not take it: write the EFI variable Boot0000: no space left on device"},
		{"mounted read-only", func(w *world) {
			if err := errors.Join(w.fake.Unmount(efi.Mountpoint), w.fake.Mount(mounts.Mount{Source: "efivarfs", Target: efi.Mountpoint, Type: "efivarfs", Flags: mounts.ReadOnly})); err != nil {
				t.Fatal(err)
			}
		}, "are mounted read-only"},
		{"not mounted", func(w *world) {
			if err := w.fake.Unmount(efi.Mountpoint); err != nil {
				t.Fatal(err)
			}
		}, "no efivarfs is mounted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t).withFirmware()
			test.node(w)
			w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
			w.publishESP(espBundle(t, v2, nil))
			_, stderr := w.must(0, "apply", "efisys", "--repository", w.repo)
			has(t, stderr, test.want, "the second loader, on /dev/vda5, follows when a boot through the new one has committed")
			if by := w.firmware(); by != v2 || w.esp("/dev/vda1", layout.ESPTarSignature) == nil || w.esp("/dev/vda1", layout.ESPTarWaiting) != nil {
				t.Errorf("the firmware starts %s; the partition has %q", by, w.espNames())
			}
			w.fsck("/dev/vda1")
			w.bootsBy(v2, layout.SideA, v1, bootstate.Good)
			w.must(0, "commit")
			if two := w.loaderIs("/dev/vda5"); two != v2 {
				t.Errorf("the second loader is %s", two)
			}
		})
	}
}

// recordOnce is record, with BootNext as a device of its own: its first byte is
// whether the firmware starts the new loader.
func (w *world) recordOnce(args ...string) (before map[string][]byte, writes []taped) {
	w.t.Helper()
	next := make([]byte, 512)
	if asked, err := w.once().Asked(); err != nil || asked.Next {
		next[0] = 1
	}
	w.variables = func(dir string) efi.Variables {
		return noting{efi.Dir(dir), func(set byte) { writes = append(writes, taped{"BootNext", 0, []byte{set}}) }}
	}
	defer func() { w.variables = nil }()
	before = w.recordTo(&writes, args...)
	before["BootNext"] = next
	return before, writes
}

// Every cut of an apply whose loader is tried first, and of the commit: the
// loader that is found without BootNext is whole, and is the old one until the
// commit; the one that BootNext names is whole; what is signed is whole.
func TestACutWhileALoaderIsTriedLeavesOneThatStarts(t *testing.T) {
	w := newWorld(t).withFirmware()
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": strings.Repeat("m", 9000)}))
	states, asked := 0, 0
	judge := func(spoil bool, defaults ...string) func(cutState, taped) {
		return func(s cutState, _ taped) {
			one, two := s.loader("/dev/vda1"), s.loader("/dev/vda5")
			if !slices.Contains(defaults, one) && (one != "" || !spoil || !slices.Contains(defaults, two)) {
				t.Errorf("%s: the loaders are %q and %q", s.name, one, two)
			}
			if s.images["BootNext"][0] == 1 {
				asked++
				if spare := bytes.TrimRight(s.read("/dev/vda1", layout.LoaderSpare), "\x00"); !bytes.Equal(spare, fakeLoader(v2)) {
					t.Errorf("%s: BootNext names no whole loader", s.name)
				}
			}
			if !spoil && s.read("/dev/vda1", layout.ESPTarSignature) != nil && (one != v2 || s.read("/dev/vda1", "memtest64.efi") == nil) {
				t.Errorf("%s: signed, but not whole", s.name)
			}
			if boot := s.choice().Boot; boot.Side != layout.SideA || boot.Why != bootstate.Good {
				t.Errorf("%s: GRUB starts %+v", s.name, boot)
			}
		}
	}
	before, writes := w.recordOnce("apply", "efisys", "--repository", w.repo)
	if last := writes[len(writes)-1]; last.device != "BootNext" {
		t.Errorf("the last write is of %s, want BootNext", last.device)
	}
	for _, spoil := range []bool{false, true} {
		states += cuts(before, append(writes, writes[len(writes)-1]), spoil, judge(spoil, v1))
	}
	// Once more in the same boot: what BootNext names is written again, with
	// another version before it.
	w.publishESP(espBundle(t, v3, nil))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": strings.Repeat("m", 9000)}))
	before, writes = w.recordOnce("apply", "efisys", "--repository", w.repo, "--allow-downgrade")
	if before["BootNext"][0] != 1 {
		t.Error("the firmware was not asked before")
	}
	again := judge(false, v1)
	states += cuts(before, append(writes, writes[len(writes)-1]), false, func(s cutState, last taped) {
		if spare := bytes.TrimRight(s.read("/dev/vda1", layout.LoaderSpare), "\x00"); s.images["BootNext"][0] == 1 && bytes.Equal(spare, fakeLoader(v3)) {
			return // the one that the firmware was asked for before
		}
		again(s, last)
	})
	w.firmware()
	w.bootsBy(v2, layout.SideA, v1, bootstate.Good)
	before, writes = w.recordOnce("commit")
	for _, spoil := range []bool{false, true} {
		states += cuts(before, writes, spoil, judge(spoil, v1, v2))
	}
	t.Logf("%d states, in %d of which the firmware was asked", states, asked)
	if states < 200 || asked < 3 {
		t.Errorf("%d states, %d of them with a question", states, asked)
	}
}

// Each write fails in turn, of the apply and of the commit: the same again
// finishes.
func TestAFaultAtEveryWriteOfATriedLoaderIsFinishedByTheNextTime(t *testing.T) {
	start := func() *world {
		w := newWorld(t).withFirmware()
		w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
		w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
		return w
	}
	apply := func(w *world) []string { return []string{"apply", "efisys", "--repository", w.repo} }
	tried := func() *world {
		w := start()
		w.must(0, apply(w)...)
		w.bootsBy(w.firmware(), layout.SideA, v1, bootstate.Good)
		return w
	}
	for _, test := range []struct {
		name    string
		node    func() *world
		command func(*world) []string
		whole   func(*world) bool
	}{
		{"apply", start, apply, func(w *world) bool { return w.loaderIs("/dev/vda1") == v1 && w.firmware() == v2 }},
		{"commit", tried, func(*world) []string { return []string{"commit"} }, func(w *world) bool {
			return w.loaderIs("/dev/vda1") == v2 && w.loaderIs("/dev/vda5") == v2 && fmt.Sprint(w.espNames()) == fmt.Sprint([]string{layout.Manifest, "memtest64.efi", layout.ESPTarSignature})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := test.node()
			_, writes := w.recordOnce(test.command(w)...)
			disk := slices.DeleteFunc(writes, func(w taped) bool { return w.device == "BootNext" })
			for fault := range disk {
				w := test.node()
				n := 0
				w.break_ = func(string) error {
					if n++; n == fault+1 {
						return errors.New("input/output error")
					}
					return nil
				}
				_, stderr := w.must(1, test.command(w)...)
				has(t, stderr, "input/output error")
				w.break_ = nil
				w.must(0, test.command(w)...)
				if !test.whole(w) {
					t.Errorf("fault %d: the loaders are %s and %s, the partition has %q", fault, w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"), w.espNames())
				}
				w.fsckLost("/dev/vda1")
			}
		})
	}
	// A cut before the firmware was asked blames no loader.
	w := start()
	w.variables = func(dir string) efi.Variables { return efi.Dir(dir) }
	w.must(0, apply(w)...)
	w.variables = nil
	for _, name := range []string{"BootNext", "Boot0000"} {
		if err := w.once().Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	out, _ := w.must(0, "status")
	if strings.Contains(out, v2) {
		t.Errorf("a loader that was never tried is blamed:\n%s", out)
	}
	w.must(0, apply(w)...)
	if by := w.firmware(); by != v2 {
		t.Errorf("the firmware starts %s", by)
	}
}

// Stories of several power cuts: loaders that are good (v1, v2) and one that
// hangs (v3) are applied, with the power cut before any write of an apply or a
// commit; each restart goes through the firmware, and a hang is ended by a power
// cycle. However it goes, the machine comes up, and in the end it gets a good
// loader. The side's state has no part in it: apply efisys writes none, and the
// rules keep the two apart.
func TestManyCutsAndALoaderThatHangsLeaveAMachineThatComesUp(t *testing.T) {
	t.Parallel()
	hangs := 0
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 4))
		w := newWorld(t).withFirmware()
		told := []string{}
		comesUp := func() {
			by := w.firmware()
			if by == v3 {
				hangs++
				by = w.firmware()
			}
			if told = append(told, "up by "+by); by != v1 && by != v2 {
				t.Fatalf("seed %d: the machine does not come up: %q", seed, told)
			}
			w.bootsBy(by, layout.SideA, v1, bootstate.Good)
		}
		comesUp()
		for range 14 {
			command := []string{"commit"}
			if version := []string{"", "", v1, v2, v3, v3}[random.IntN(6)]; version != "" {
				w.publishESP(espBundle(t, version, nil))
				command = []string{"apply", "efisys", "--force", "--allow-downgrade", "--repository", w.repo}
				told = append(told, version)
			}
			left := random.IntN(24) // writes until the cut, which most commands do not come to
			w.break_ = func(string) error {
				if left--; left < 0 {
					return errors.New("the power is cut")
				}
				return nil
			}
			status, _, _ := w.runs(command...)
			w.break_ = nil
			told = append(told, fmt.Sprintf("%s: exit status %d", command[0], status))
			if left < 0 || random.IntN(2) == 0 {
				comesUp()
			}
		}
		comesUp()
		w.must(0, "commit")
		for _, version := range []string{v1, v2} {
			w.publishESP(espBundle(t, version, nil))
			w.must(0, "apply", "efisys", "--force", "--allow-downgrade", "--repository", w.repo)
			comesUp()
			w.must(0, "commit")
		}
		if one, two := w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"); one != v2 || two != v2 {
			t.Errorf("seed %d: in the end the loaders are %s and %s: %q", seed, one, two, told)
		}
		w.fsckLost("/dev/vda1")
	}
	t.Logf("%d hangs were ended by a power cycle", hangs)
	if hangs < 5 {
		t.Error("too few loaders hung")
	}
}
