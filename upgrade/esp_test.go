package upgrade

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
)

// fakeLoader is an EFI program as far as we look at it, of about the size of a
// real one.
func fakeLoader(version string) []byte {
	b := bytes.Repeat([]byte(version+"\n"), 20_000)
	copy(b, "MZ")
	copy(b[60:], []byte{64, 0, 0, 0})
	copy(b[64:], "PE\x00\x00")
	return append(b, "set loader_version="+version+"\nset loader_time=x\n"...)
}

// espBundle makes an ESP release with these programs.
func espBundle(t testing.TB, version string, programs map[string]string, changes ...func(members map[string][]byte, i *release.Info)) bundle {
	t.Helper()
	b := bundle{info: release.Info{Kind: release.ESP, Version: version,
		Filename: release.Name{Kind: release.ESP, Platform: release.UEFI, Version: version}.String()}}
	m := release.ESPManifest{ExtraPrograms: map[string]string{}}
	b.members = map[string][]byte{layout.Loader: fakeLoader(version)}
	for name, content := range programs {
		m.ExtraPrograms["/"+name] = "Program " + strings.TrimSuffix(name, ".efi")
		b.members[name] = []byte(content)
		b.info.Programs = append(b.info.Programs, name)
	}
	b.members[layout.Manifest] = m.JSON()
	for _, change := range changes {
		change(b.members, &b.info)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range b.members {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, secret := pair()
	b.tar = out.Bytes()
	b.info.Size = int64(len(b.tar))
	sig, err := release.Sign(secret, bytes.NewReader(b.tar), b.info.Comment(), "test")
	if err != nil {
		t.Fatal(err)
	}
	b.sig = sig
	return b
}

// esp reads a file of an EFI system partition; nil where it is not there.
func (w *world) esp(device, path string) []byte {
	w.t.Helper()
	f, err := os.Open(w.images[device])
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	content, err := bootstate.ReadWhole(f, path, maxESPTar)
	if err != nil {
		return nil
	}
	return content
}

// loaderIs is the version of the whole loader that firmware would find.
func (w *world) loaderIs(device string) string {
	w.t.Helper()
	content := bytes.TrimRight(w.esp(device, layout.Loader), "\x00")
	for _, version := range []string{v1, v2, v3} {
		if bytes.Equal(content, fakeLoader(version)) {
			return version
		}
	}
	return fmt.Sprintf("%d bytes of no loader", len(content))
}

// bootsBy is boots through a loader, in a new boot.
func (w *world) bootsBy(loader string, side layout.Label, version string, why bootstate.Why) {
	w.t.Helper()
	os.Remove(filepath.Join(w.root, changedMark))
	w.boots(side, version, why)
	text := readFile(w.t, filepath.Join(w.root, layout.BootJSON))
	w.write(layout.BootJSON, bytes.Replace(text, []byte("{"), []byte(`{"loader":"`+loader+`",`), 1))
}

func (w *world) publishESP(b bundle) {
	w.t.Helper()
	for name, content := range map[string][]byte{b.info.Filename: b.tar, b.info.Filename + ".minisig": b.sig} {
		if err := os.WriteFile(filepath.Join(w.repo, name), content, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	link := filepath.Join(w.repo, release.LatestSignature(release.ESP, release.UEFI))
	os.Remove(link)
	if err := os.Symlink(b.info.Filename+".minisig", link); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fsck(device string) {
	w.t.Helper()
	if out, err := exec.Command("fsck.fat", "-n", w.images[device]).CombinedOutput(); err != nil {
		w.t.Errorf("fsck.fat %s: %s", device, out)
	}
}

// fsckLost is fsck, which may find clusters that nothing uses, or that the
// second table has it otherwise: those of a write that was broken off.
func (w *world) fsckLost(device string) {
	w.t.Helper()
	out, _ := exec.Command("fsck.fat", "-n", w.images[device]).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "fsck.fat 4") && !strings.Contains(line, "Reclaimed") && !strings.Contains(line, "FATs differ") && !strings.Contains(line, "Using first FAT") && !strings.Contains(line, "Free cluster summary") &&
			!strings.Contains(line, "Auto-correcting") && !strings.Contains(line, "Leaving filesystem") && !strings.Contains(line, " clusters") && strings.TrimSpace(line) != "" {
			w.t.Errorf("fsck.fat %s: %s", device, line)
		}
	}
}

func TestTheLoaderIsReplacedAndTheSecondOneFollowsTheCommit(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest", "tcshell.efi": strings.Repeat("shell", 99_000)}))
	out, _ := w.must(10, "check", "--target", "efisys", "--repository", w.repo)
	has(t, out, "efisys: PSYOPSOSEFI is currently no whole release, not version "+v2)

	_, stderr := w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "neuralupgrade INFO Updated efisys PSYOPSOSEFI with "+w.repo, "the second loader, on /dev/vda5, follows when a boot through the new one has committed")
	if one, two := w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"); one != v2 || two != v1 {
		t.Errorf("the loaders are %s and %s, want %s and %s", one, two, v2, v1)
	}
	if twin := bytes.TrimRight(w.esp("/dev/vda1", layout.LoaderSpare), "\x00"); !bytes.Equal(twin, fakeLoader(v1)) {
		t.Errorf("the twin has %d bytes, want the old loader", len(twin))
	}
	if got := string(w.esp("/dev/vda1", "memtest64.efi")); got != "memtest" {
		t.Errorf("memtest64.efi is %.20q", got)
	}
	menu := bootstate.ParseMenu(w.loader().Copies.Menu)
	if want := []bootstate.Program{{Path: "/memtest64.efi", Title: "Program memtest64"}, {Path: "/tcshell.efi", Title: "Program tcshell"}}; menu.Timeout != 5 || !slices.Equal(menu.Programs, want) {
		t.Errorf("the menu is %+v, want %+v", menu, want)
	}
	w.fsck("/dev/vda1")
	out, _ = w.must(0, "show")
	has(t, out, "loader: "+v2, "second_loader: "+v1, "running_loader: "+v1, "efi_programs: ", "version: "+v2)
	w.must(0, "check", "--target", "efisys", "--repository", w.repo)
	out, _ = w.must(0, "apply", "efisys", "--repository", w.repo)
	has(t, out, "PSYOPSOSEFI is version "+v2+": nothing to do")

	// The same boot commits nothing of the loader, and puts no side on trial.
	w.must(0, "commit")
	if two := w.loaderIs("/dev/vda5"); two != v1 {
		t.Errorf("before a boot through the new loader the second one is %s", two)
	}
	w.publish(makeBundle(t, v2))
	_, stderr = w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "the loader was replaced in this boot", "restart first")
	_, stderr = w.must(1, "rollback")
	has(t, stderr, "the loader was replaced in this boot")
	_, stderr = w.must(1, "reboot", "--kexec")
	has(t, stderr, "only the firmware can start it")

	w.bootsBy(v2, layout.SideA, v1, bootstate.Good)
	out, _ = w.must(0, "commit")
	has(t, out, "the second loader, on /dev/vda5, is version "+v2+" now")
	if two := w.loaderIs("/dev/vda5"); two != v2 {
		t.Errorf("after the commit the second loader is %s", two)
	}
	w.fsck("/dev/vda5")
	out, _ = w.must(0, "commit")
	if strings.Contains(out, "second loader") {
		t.Errorf("a second commit says %q", out)
	}
	w.applies()

	// Programs that the next release does not have go.
	w.bootsBy(v2, layout.SideB, v2, bootstate.Trial(2))
	w.must(0, "commit")
	w.publishESP(espBundle(t, v3, map[string]string{"tcshell.efi": "smaller"}))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	if w.esp("/dev/vda1", "memtest64.efi") != nil || string(w.esp("/dev/vda1", "tcshell.efi")) != "smaller" {
		t.Error("the programs are not those of the release")
	}
	if one := w.loaderIs("/dev/vda1"); one != v3 {
		t.Errorf("the loader is %s", one)
	}
	w.fsck("/dev/vda1")
}

// A second loader that has not followed, because its commit was cut off, does
// so before the next one is replaced.
func TestTheNextApplyBringsTheSecondLoaderUpFirst(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, nil))
	w.must(0, "apply", "efisys", "--repository", w.repo)
	w.bootsBy(v2, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v3, nil))
	out, _ := w.must(0, "apply", "efisys", "--repository", w.repo, "--dry-run")
	has(t, out, "bring the loader on /dev/vda5 from version "+v1+" to the running "+v2, "replace the loader")
	w.must(0, "apply", "efisys", "--repository", w.repo)
	if one, two := w.loaderIs("/dev/vda1"), w.loaderIs("/dev/vda5"); one != v3 || two != v2 {
		t.Errorf("the loaders are %s and %s, want %s and %s", one, two, v3, v2)
	}
}

func TestASideAndTheLoaderNeverChangeInTheSameBoot(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publish(makeBundle(t, v2))
	w.publishESP(espBundle(t, v2, nil))
	_, stderr := w.must(0, "apply", "nonbooted", "efisys", "--repository", w.repo)
	has(t, stderr, "Updated nonbooted side psyopsOS-B", "efisys waits: nonbooted is on trial")
	if one := w.loaderIs("/dev/vda1"); one != v1 {
		t.Errorf("the loader is %s", one)
	}
	_, stderr = w.must(1, "apply", "efisys", "--repository", w.repo)
	has(t, stderr, "psyopsOS-B is on trial, undecided")
	w.bootsBy(v1, layout.SideB, v2, bootstate.Trial(2))
	w.must(0, "commit")
	w.must(0, "apply", "efisys", "nonbooted", "--repository", w.repo) // A to v2
	w.bootsBy(v1, layout.SideA, v2, bootstate.Trial(2))
	w.must(0, "commit")
	out, _ := w.must(0, "apply", "nonbooted", "efisys", "--repository", w.repo)
	has(t, out, "psyopsOS-B is version "+v2+": nothing to do")
	if one := w.loaderIs("/dev/vda1"); one != v2 {
		t.Errorf("the loader is %s", one)
	}
}

func TestWhatIsNoReleaseForThisPartitionIsRefused(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	d, err := w.open("/dev/vda1")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	writes, err := bootstate.PlanFiles(d, 512, someTime, bootstate.FileChange{Path: "owners.own", Data: make([]byte, 31<<20)})
	if err := errors.Join(err, bootstate.WriteBlocks(d, writes, func(bootstate.BlockWrite) {})); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, w.images["/dev/vda1"])
	dir := t.TempDir()
	put := func(b bundle) string {
		name := filepath.Join(dir, b.info.Filename)
		for n, content := range map[string][]byte{name: b.tar, name + ".minisig": b.sig} {
			if err := os.WriteFile(n, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return name
	}
	six := map[string]string{}
	for i := range 6 {
		six[fmt.Sprintf("p%d.efi", i)] = "p"
	}
	for _, test := range []struct {
		name string
		tar  func() string
		args []string
		want string
	}{
		{"an OS release", func() string { return put(makeBundle(t, v2)) }, nil, "a release of type psyopsOS does not go on the EFI system partition"},
		{"a changed byte", func() string {
			b := espBundle(t, v2, nil)
			b.tar[700]++
			return put(b)
		}, nil, "contents are not what key"},
		{"another firmware", func() string {
			return put(espBundle(t, v2, nil, func(_ map[string][]byte, i *release.Info) {
				i.Filename = release.Name{Kind: release.ESP, Platform: "aarch64-uefi", Version: v2}.String()
			}))
		}, nil, "for firmware of type aarch64-uefi, this machine's is x86_64-uefi"},
		{"older than what is there", func() string { return put(espBundle(t, "20261119-100000", nil)) }, nil, "is older than " + v1},
		{"a file that the manifest does not name", func() string {
			return put(espBundle(t, v2, nil, func(m map[string][]byte, _ *release.Info) { m["startup.nsh"] = []byte("x") }))
		}, nil, `the tar has "startup.nsh", which manifest.json does not name`},
		{"the boot loader's state", func() string {
			return put(espBundle(t, v2, nil, func(m map[string][]byte, _ *release.Info) { m[layout.State1] = []byte("x") }))
		}, nil, "does not name"},
		{"a program in the loader's folder", func() string {
			return put(espBundle(t, v2, nil, func(m map[string][]byte, i *release.Info) {
				m["EFI/BOOT/x.efi"] = []byte("x")
				m[layout.Manifest] = release.ESPManifest{ExtraPrograms: map[string]string{"/EFI/BOOT/x.efi": "X"}}.JSON()
			}))
		}, nil, "no name for an extra program"},
		{"a program that is missing", func() string {
			return put(espBundle(t, v2, map[string]string{"a.efi": "a"}, func(m map[string][]byte, _ *release.Info) { delete(m, "a.efi") }))
		}, nil, "which is not in the tar"},
		{"a program that the signature does not name", func() string {
			return put(espBundle(t, v2, map[string]string{"a.efi": "a"}, func(_ map[string][]byte, i *release.Info) { i.Programs = nil }))
		}, nil, `names the programs ["a.efi"], the signature []`},
		{"no loader", func() string {
			return put(espBundle(t, v2, nil, func(m map[string][]byte, _ *release.Info) { delete(m, layout.Loader) }))
		}, nil, "no loader of ours"},
		{"another release's loader", func() string {
			return put(espBundle(t, v2, nil, func(m map[string][]byte, _ *release.Info) { m[layout.Loader] = fakeLoader(v3) }))
		}, nil, "is the loader of release"},
		{"more programs than the menu holds", func() string { return put(espBundle(t, v2, six)) }, nil, "6 extra programs"},
		{"a program that does not fit", func() string {
			return put(espBundle(t, v2, map[string]string{"big.efi": strings.Repeat("big", 3<<20)}))
		}, nil, "there is no room"},
		{"a mock", func() string { return put(espBundle(t, v2, nil)) }, []string{"--efisys-mock"}, "leave --efisys-mock out"},
		{"an ESP release for a side", func() string { return put(espBundle(t, v2, nil)) }, []string{"side"}, "type psyopsESP does not go on a side"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"apply", "efisys", "--esp-tar", test.tar()}, test.args...)
			if slices.Contains(test.args, "side") {
				args = []string{"apply", "nonbooted", "--os-tar", test.tar()}
			}
			_, stderr := w.must(1, args...)
			has(t, stderr, test.want)
			if !bytes.Equal(before, readFile(t, w.images["/dev/vda1"])) {
				t.Error("the partition was written to")
			}
		})
	}
}

// Names that the first psyopsOS gave are of this machine's firmware.
func TestOldNamesOfESPReleasesAreAccepted(t *testing.T) {
	for name, want := range map[string]bool{"psyopsOS.grubusb.efisys." + v2 + ".tar": true, "psyopsESP.x86_64." + v2 + ".tar": true,
		"psyopsESP.x86_64-uefi." + v2 + ".tar": true, "psyopsESP.aarch64." + v2 + ".tar": false} {
		if err := platformIs(release.Info{Kind: release.ESP, Filename: name}, release.UEFI); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARefusalOfAnESPPlan(t *testing.T) {
	rel := espRelease{Info: release.Info{Kind: release.ESP, Version: v2, Filename: "psyopsESP.x86_64-uefi." + v2 + ".tar"}, Loader: fakeLoader(v2)}
	for _, test := range []struct {
		name string
		node func(*State)
		want string
	}{
		{"none", func(*State) {}, ""},
		{"mounted read-write", func(s *State) { s.Firmware.Users = []string{"mounted read-write at /x"} }, "mounted read-write at /x"},
		{"on another disk", func(s *State) { s.Firmware.Device.Disk = "vdb" }, "is on vdb, but vda was booted"},
		{"two disks", func(s *State) { s.Firmware.Duplicates = []string{"/dev/vdb1"} }, "on /dev/vda1 and on /dev/vdb1"},
		{"the disk was pulled out", func(s *State) { s.BootedMissing = true }, "the disk that was booted is not there"},
		{"nobody knows what runs", func(s *State) { s.Booted = "" }, "which side is booted"},
		{"no state", func(s *State) { s.Loader = Loader{Missing: errors.New("no state")} }, "no state"},
		{"a trial", func(s *State) { s.Loader.State.Try = layout.SideB }, "psyopsOS-B is on trial, undecided"},
		{"the other side runs", func(s *State) { s.Loader.State.Good = layout.SideB }, "psyopsOS-B is the committed side"},
		{"unhealthy", func(s *State) { s.Unhealthy = "sshd" }, "not healthy: sshd"},
		{"copies that differ", func(s *State) { s.Loader.Same = false }, "differ"},
		{"the first psyopsOS's, another default", func(s *State) { s.Loader = Loader{Legacy: &LegacyMenu{DefaultLabel: layout.SideB}} }, "psyopsOS-B is the default of grub.cfg"},
		{"the first psyopsOS's", func(s *State) { s.Loader = Loader{Legacy: &LegacyMenu{DefaultLabel: layout.SideA}} }, ""},
		{"the first psyopsOS's, no whole release", func(s *State) {
			s.Loader, s.A.Info = Loader{Legacy: &LegacyMenu{DefaultLabel: layout.SideA}}, release.Info{}
		}, "holds no whole release"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := committedNode(t)
			test.node(&s)
			p, err := NewESPPlan(s, ESPRequest{Release: rel, Firmware: release.UEFI, Now: someTime})
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want an error with %q", err, test.want)
			case err != nil && len(p.Steps(Env{}, release.Keys{})) > 1 && p.Release.Info.Version != "":
				t.Error("a refused plan has steps")
			}
		})
	}
}

// A tape notes every write.
type tape struct {
	partition
	writes *[]taped
}

type taped struct {
	device string
	offset int64
	data   []byte
}

func (d tape) WriteAt(p []byte, offset int64) (int, error) {
	n, err := d.partition.WriteAt(p, offset)
	if err == nil {
		*d.writes = append(*d.writes, taped{d.name, offset, bytes.Clone(p)})
	}
	return n, err
}

// record runs a command and gives the images before it and all its writes.
func (w *world) record(args ...string) (before map[string][]byte, writes []taped) {
	w.t.Helper()
	before = w.recordTo(&writes, args...)
	return before, writes
}

// recordTo is record, behind writes that something else may add to meanwhile.
func (w *world) recordTo(writes *[]taped, args ...string) (before map[string][]byte) {
	w.t.Helper()
	before = map[string][]byte{}
	for _, device := range []string{"/dev/vda1", "/dev/vda5"} {
		if w.images[device] != "" {
			before[device] = readFile(w.t, w.images[device])
		}
	}
	e := w.env()
	e.OpenState = func(path string) (boot.StateDevice, error) {
		d, err := w.open(path)
		if err != nil {
			return nil, err
		}
		return tape{d.(partition), writes}, nil
	}
	w.stdout.Reset()
	w.stderr.Reset()
	if status := Main(context.Background(), e, args); status != 0 {
		w.t.Fatalf("neuralupgrade %s: exit status %d\n%s%s", strings.Join(args, " "), status, w.stdout.String(), w.stderr.String())
	}
	return before
}

// A cutState is the two partitions after a cut.
type cutState struct {
	name   string
	images map[string][]byte
}

// cuts are the states that a power cut can leave: each write done or not, and
// the one in flight torn at a sector, or with one sector zeroed or garbage
// where spoil says so.
func cuts(before map[string][]byte, writes []taped, spoil bool, judge func(cutState, taped)) int {
	n := 0
	now := map[string][]byte{}
	for device, image := range before {
		now[device] = bytes.Clone(image)
	}
	for i, w := range writes {
		image := now[w.device]
		old := bytes.Clone(image[w.offset : w.offset+int64(len(w.data))])
		for torn := 0; torn < len(w.data); torn += max(512, len(w.data)/8/512*512) {
			copy(image[w.offset:], old)
			copy(image[w.offset:], w.data[:torn])
			judge(cutState{fmt.Sprintf("write %d of %d (%d bytes at %d of %s), %d bytes done", i, len(writes), len(w.data), w.offset, w.device, torn), now}, w)
			n++
			for _, fill := range []byte{0, 0xa5} {
				if !spoil {
					continue
				}
				copy(image[w.offset+int64(torn):], bytes.Repeat([]byte{fill}, 512))
				judge(cutState{fmt.Sprintf("write %d of %d (%d bytes at %d of %s), the sector at %d is %#x", i, len(writes), len(w.data), w.offset, w.device, torn, fill), now}, w)
				n++
			}
		}
		copy(image[w.offset:], w.data)
	}
	return n
}

func (s cutState) read(device, path string) []byte {
	content, err := bootstate.ReadWhole(bytes.NewReader(s.images[device]), path, maxESPTar)
	if err != nil {
		return nil
	}
	return content
}

func (s cutState) loader(device string) string {
	content := bytes.TrimRight(s.read(device, layout.Loader), "\x00")
	for _, version := range []string{v1, v2} {
		if bytes.Equal(content, fakeLoader(version)) {
			return version
		}
	}
	return ""
}

// choice is what GRUB's script would start.
func (s cutState) choice() bootstate.Choice {
	var second io.ReaderAt
	if s.images["/dev/vda5"] != nil {
		second = bytes.NewReader(s.images["/dev/vda5"])
	}
	c := bootstate.ReadCopies(bytes.NewReader(s.images["/dev/vda1"]), second)
	return bootstate.Next(c.State1, c.State2, c.Tries, func(layout.Label) bool { return true })
}

// Every cut of apply efisys, and of the commit that lets the second loader
// follow: the firmware finds a whole loader, on the first partition or, where a
// destroyed sector of the directory or the table took that, on the second; and
// the state starts the side that it started before.
func TestACutWhileTheLoaderIsReplacedLeavesOneThatStarts(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": strings.Repeat("m", 9000), "tcshell.efi": "shell"}))
	states, second := 0, 0
	judge := func(s cutState, _ taped) {
		one, two := s.loader("/dev/vda1"), s.loader("/dev/vda5")
		if one == "" && two == "" {
			t.Errorf("%s: no whole loader", s.name)
		}
		if one == "" {
			second++
		}
		if boot := s.choice().Boot; boot.Side != layout.SideA || boot.Why != bootstate.Good {
			t.Errorf("%s: GRUB starts %+v", s.name, boot)
		}
	}
	before, writes := w.record("apply", "efisys", "--repository", w.repo)
	states += cuts(before, writes, true, judge)
	lost := second
	w.bootsBy(v2, layout.SideA, v1, bootstate.Good)
	before, writes = w.record("commit")
	states += cuts(before, writes, true, judge)
	t.Logf("%d states; in %d of them the firmware takes the second loader", states, lost)
	if lost == 0 || states < 100 {
		t.Errorf("%d states, %d with the second loader: are there no destroyed sectors?", states, lost)
	}

	// Without destroyed sectors the first one is always whole, and what the
	// partition says of itself is true.
	w = newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": strings.Repeat("m", 9000), "tcshell.efi": "shell"}))
	before, writes = w.record("apply", "efisys", "--repository", w.repo)
	cuts(before, writes, false, func(s cutState, _ taped) {
		if s.loader("/dev/vda1") == "" {
			t.Errorf("%s: the first loader is not whole", s.name)
		}
		if s.read("/dev/vda1", layout.ESPTarSignature) != nil && (s.loader("/dev/vda1") != v2 || string(s.read("/dev/vda1", "tcshell.efi")) != "shell") {
			t.Errorf("%s: signed, but not whole", s.name)
		}
		for _, p := range bootstate.ParseMenu(bootstate.ReadCopies(bytes.NewReader(s.images["/dev/vda1"]), nil).Menu).Programs {
			if s.read("/dev/vda1", strings.TrimPrefix(p.Path, "/")) == nil {
				t.Errorf("%s: the menu names %s, which is not there", s.name, p.Path)
			}
		}
	})
}

// Each write fails in turn: the loaders are whole, and a second attempt
// finishes.
func TestAFaultAtEveryWriteOfTheLoaderIsFinishedByTheNextApply(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
	_, writes := w.record("apply", "efisys", "--repository", w.repo)
	for fault := range writes {
		w := newWorld(t)
		w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
		w.publishESP(espBundle(t, v2, map[string]string{"memtest64.efi": "memtest"}))
		n := 0
		w.break_ = func(string) error {
			if n++; n == fault+1 {
				return errors.New("input/output error")
			}
			return nil
		}
		_, stderr := w.must(1, "apply", "efisys", "--repository", w.repo)
		has(t, stderr, "input/output error")
		if one := w.loaderIs("/dev/vda1"); one != v1 && one != v2 {
			t.Errorf("fault %d: the loader is %s", fault, one)
		}
		w.break_ = nil
		w.must(0, "apply", "efisys", "--repository", w.repo)
		if one := w.loaderIs("/dev/vda1"); one != v2 || w.esp("/dev/vda1", layout.ESPTarSignature) == nil {
			t.Errorf("fault %d: after a second apply the loader is %s", fault, one)
		}
		w.fsckLost("/dev/vda1")
	}
}

// Another disk in the place of the one that was looked at is not written to.
func TestTheLoaderOfAnotherDiskIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	w.bootsBy(v1, layout.SideA, v1, bootstate.Good)
	rel := espRelease{Info: release.Info{Kind: release.ESP, Version: v2, Filename: "psyopsESP.x86_64-uefi." + v2 + ".tar"}, Loader: fakeLoader(v2), Manifest: release.ESPManifest{}.JSON()}
	public, _ := pair()
	keys, err := release.NewKeys(1, public)
	if err != nil {
		t.Fatal(err)
	}
	state, err := Inspect(w.env(), defaults("x86_64"), keys)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewESPPlan(state, ESPRequest{Release: rel, Firmware: release.UEFI, Now: time.Unix(1_795_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	plan.Firmware.Device.DiskUUID = "another"
	for _, s := range plan.Steps(w.env(), keys) {
		if err := s.Do(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "is on another disk now") {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if err := w.fake.Mount(mounts.Mount{Source: "/dev/vda1", Target: "/x", Type: "vfat"}); err != nil {
		t.Fatal(err)
	}
	_, stderr := w.must(1, "apply", "efisys", "--esp-tar", "/none")
	has(t, stderr, "none")
}

// What a tar says is bounded, and nothing of it gets a name that means
// something else here.
func FuzzESPRelease(f *testing.F) {
	for _, programs := range []map[string]string{nil, {"a.efi": "a"}} {
		f.Add(espBundle(f, v2, programs).tar[:8<<10])
	}
	f.Add(espBundle(f, v2, map[string]string{"a.efi": "a", "b.efi": "b"}).tar)
	f.Fuzz(func(t *testing.T, text []byte) {
		e := espRelease{Info: release.Info{Kind: release.ESP, Version: v2, Programs: []string{"a.efi", "b.efi"}}}
		if e.read(bytes.NewReader(text)) != nil {
			return
		}
		for _, p := range e.Programs {
			if reserved(p.name()) || strings.ContainsAny(p.name(), "/\\~") || p.content == nil {
				t.Errorf("program %q", p.Path)
			}
		}
		if _, err := e.menu(bootstate.Menu{}).Render(); err != nil && len(e.Programs) == 0 {
			t.Error(err)
		}
	})
}
