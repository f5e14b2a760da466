package upgrade

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
)

func TestShowSystemTellsBothSidesAndTheLoader(t *testing.T) {
	w := newWorld(t)
	w.fill(layout.SideB, makeBundle(t, v2))
	out, _ := w.must(0, "show")
	has(t, out, "system:\n    a:\n        fs:\n            label: psyopsOS-A\n            device: /dev/vda3\n            mountpoint: "+w.root+"/mnt/psyopsOS/a\n            mockmount: false\n",
		"        metadata:\n            type: psyopsOS\n            filename: psyopsOS.x86_64."+v1+".tar\n            version: "+v1+"\n            kernel: 6.1.0\n            alpine: testos-1\n            architecture: x86_64\n",
		"            version: "+v2+"\n",
		"        running: true\n        next_boot: true\n", "        running: false\n        next_boot: false\n",
		"        neuralupgrade_info:\n            last_updated: 20260921-141320\n            default_boot_label: psyopsOS-A\n            extra_programs: \n",
		"    booted_label: psyopsOS-A\n    nonbooted_label: psyopsOS-B\n    nextboot_label: psyopsOS-A\n")
	if points, _ := w.fake.Mounts(); len(points) != 1 {
		t.Errorf("mounts stay: %v", points)
	}
	for _, call := range w.fake.Calls() {
		if strings.HasPrefix(call, "Mount ") && !strings.Contains(call, "(ro,") {
			t.Errorf("looking mounted something to write: %s", call)
		}
	}
}

func TestShowAsJSONSaysTheSame(t *testing.T) {
	w := newWorld(t)
	out, _ := w.must(0, "show", "system", "--json")
	var got struct {
		System struct {
			A struct {
				Metadata struct{ Version string }
				Running  bool
			}
			NextBoot string `json:"nextboot_label"`
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.System.A.Metadata.Version != v1 || !got.System.A.Running || got.System.NextBoot != "psyopsOS-A" {
		t.Errorf("got %+v from\n%s", got, out)
	}
}

func TestShowSaysWhatIsIncomplete(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(w *world, dir string)
		want   string
	}{
		{"no signature", func(w *world, dir string) { os.Remove(filepath.Join(dir, layout.OSTarSignature)) }, "incomplete: there is no psyopsOS.tar.minisig"},
		{"no BOOT.SUM", func(w *world, dir string) { os.Remove(filepath.Join(dir, layout.BootSum)) }, "incomplete: there is no BOOT.SUM"},
		{"half a BOOT.SUM", func(w *world, dir string) { w.write(layout.MountSideB+"/BOOT.SUM", []byte("x")) }, `incomplete: BOOT.SUM: line "x"`},
		{"a signature of nobody", func(w *world, dir string) {
			text := bytes.Replace(readFile(w.t, filepath.Join(dir, layout.OSTarSignature)), []byte("testos-1"), []byte("testos-2"), 1)
			w.write(layout.MountSideB+"/"+layout.OSTarSignature, text)
		}, "incomplete: the trusted comment is not what key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.damage(w, filepath.Join(w.root, layout.MountSideB))
			out, _ := w.must(0, "show")
			_, b, _ := strings.Cut(out, "    b:\n")
			has(t, b, test.want)
		})
	}
}

func TestADiskOfTheFirstPsyopsOSIsRecognised(t *testing.T) {
	menu, ok := ParseLegacyMenu([]byte("set timeout=5\n# neuralupgrade-info: last_updated=20240705-173840 default_boot_label=psyopsOS-B extra_programs=/memtest64.efi,/tcshell.efi\nmenuentry x {\n"))
	want := LegacyMenu{LastUpdated: "20240705-173840", DefaultLabel: layout.SideB, Programs: []string{"/memtest64.efi", "/tcshell.efi"}}
	if !ok || !reflect.DeepEqual(menu, want) {
		t.Errorf("got %+v, %t", menu, ok)
	}
	for _, text := range []string{"", "# neuralupgrade-info:", "# neuralupgrade-info: default_boot_label=psyopsOS-C", "default_boot_label=psyopsOS-A"} {
		if menu, ok := ParseLegacyMenu([]byte(text)); ok {
			t.Errorf("%q: got %+v", text, menu)
		}
	}
	out := loaderTree(Loader{Legacy: &want}).String()
	has(t, out, "last_updated: 20240705-173840\ndefault_boot_label: psyopsOS-B\nextra_programs: /memtest64.efi,/tcshell.efi\n")
}

func FuzzLegacyMenu(f *testing.F) {
	f.Add([]byte("# neuralupgrade-info: last_updated=x default_boot_label=psyopsOS-B extra_programs=/a,,/b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, ok := ParseLegacyMenu(text); ok && !m.DefaultLabel.IsSide() {
			t.Errorf("%q: got %+v", text, m)
		}
	})
}

func TestOffANodeOnlyWhatIsThereIsShown(t *testing.T) {
	w := newWorld(t)
	os.Remove(filepath.Join(w.root, layout.BootJSON))
	out, _ := w.must(0, "show")
	has(t, out, "    booted_label: \n", "version: "+v1)
	w.fake.Unplug("vda")
	out, _ = w.must(0, "show")
	has(t, out, "error: no volume labelled psyopsOS-A")
}

func TestMocksAreUsedAsTheyAre(t *testing.T) {
	w := newWorld(t)
	w.fake.Unplug("vda")
	w.fake.Fail["Mount"] = os.ErrPermission
	out, _ := w.must(0, "--a-mock", "--b-mock", "--efisys-mock", "--booted-mock", "b", "show", "system")
	has(t, out, "            mockmount: true\n", "version: "+v1, "booted_label: psyopsOS-B\n")
	w.must(1, "--booted-mock", "c", "show")
}

func TestADuplicateLabelIsNamed(t *testing.T) {
	w := newWorld(t)
	f, err := os.Open(w.images["/dev/vda4"])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.fake.PlugReader(mounts.Device{Name: "vdb1", Disk: "vdb", Partition: 1, Size: 1 << 20}, f)
	out, _ := w.must(0, "show")
	has(t, out, "            same_label_on: /dev/vdb1\n")
}

func TestShowLatestFilesAndReleasesOfTheRepository(t *testing.T) {
	w := newWorld(t)
	b := makeBundle(t, v2)
	w.publish(b)
	tar := filepath.Join(w.repo, b.info.Filename)
	for _, test := range []struct {
		name  string
		args  []string
		wants []string
	}{
		{"latest", []string{"show", "latest", "--repository", w.repo}, []string{tar + ":\n    type: psyopsOS\n    filename: " + b.info.Filename}},
		{"a file", []string{"show", tar}, []string{tar + ":\n", "    version: " + v2 + "\n", "    verified: true\n"}},
		{"a signature alone", []string{"show", tar + ".minisig"}, []string{"    version: " + v2 + "\n"}},
		{"a name in the repository", []string{"--repository", w.repo, "show", b.info.Filename}, []string{tar + ":\n", v2}},
	} {
		out, _ := w.must(0, test.args...)
		if t.Run(test.name, func(t *testing.T) { has(t, out, test.wants...) }); t.Failed() {
			return
		}
	}
	content := readFile(t, tar)
	content[len(content)/2]++
	if err := os.WriteFile(tar, content, 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr := w.must(1, "show", tar)
	has(t, stderr, "contents are not what key")
	_, stderr = w.must(1, "show", "latest")
	has(t, stderr, "no repository is set", "hint: ")
}

func TestCheckComparesEachSideWithItsOwnVersion(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v1))
	out, _ := w.must(0, "check", "--repository", w.repo)
	if want := "a: psyopsOS-A is version " + v1 + "\nb: psyopsOS-B is version " + v1 + "\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	w.publish(makeBundle(t, v2))
	w.fill(layout.SideB, makeBundle(t, v2))
	out, _ = w.must(10, "check", "--repository", w.repo)
	if want := "a: psyopsOS-A is currently version " + v1 + ", not version " + v2 + "\nb: psyopsOS-B is version " + v2 + "\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	w.must(0, "check", "--repository", w.repo, "--target", "nonbooted")
	w.must(10, "check", "--repository", w.repo, "--target", "booted")
	w.must(0, "check", "--repository", w.repo, "--target", "booted", "--version", v1)
	w.must(2, "check", "--repository", w.repo, "--target", "c")
	w.must(1, "check", "--repository", w.repo, "--version", v3)
	os.Remove(filepath.Join(w.root, layout.MountSideB, layout.OSTarSignature))
	out, _ = w.must(10, "check", "--repository", w.repo, "--target", "b")
	has(t, out, "b: psyopsOS-B is currently no whole release, not version "+v2)
	out, _ = w.must(10, "check", "--repository", w.repo, "--target", "a", "--json")
	has(t, out, `"version": "`+v1+`"`, `"current": false`)
}

func TestDownloadGivesAVerifiedFile(t *testing.T) {
	w := newWorld(t)
	b := makeBundle(t, v2)
	w.publish(b)
	dir := t.TempDir() + "/"
	_, stderr := w.must(0, "download", "--repository", w.repo, dir)
	has(t, stderr, "verified: "+dir+b.info.Filename)
	if !bytes.Equal(readFile(t, dir+b.info.Filename), b.tar) || !bytes.Equal(readFile(t, dir+b.info.Filename+".minisig"), b.sig) {
		t.Error("other bytes")
	}
	w.must(0, "download", "--repository", w.repo, "--version", v2, dir+"other.tar")
	w.must(2, "download", "--repository", w.repo)
	w.must(2, "download", "--repository", w.repo, "--type", "x", dir)
	w.must(2, "download", "--repository", w.repo, "--type", "psyopsOS,psyopsESP", dir+"one.tar")
	_, stderr = w.must(1, "download", "--repository", w.repo, "--type", "psyopsESP", dir)
	has(t, stderr, "FAILED: download psyopsESP")
	w.must(0, "show", dir+"other.tar")
}

func TestSettingsComeFromFlagsEnvironmentFileAndDefaultInThisOrder(t *testing.T) {
	w := newWorld(t)
	env := map[string]string{}
	load := func(args ...string) Settings {
		t.Helper()
		e := w.env()
		e.Getenv = func(name string) string { return env[name] }
		c := &call{Settings: defaults("x86_64")}
		if err := c.load(e); err != nil {
			t.Fatal(err)
		}
		set := c.newFlags("test")
		c.Settings.flags(set)
		if err := parse(set, args); err != nil {
			t.Fatal(err)
		}
		return c.Settings
	}
	if got := load(); got.Repository != "" || got.A.MountPoint != layout.MountSideA || got.Firmware != release.UEFI {
		t.Errorf("defaults: got %+v", got)
	}
	w.write(ConfigFile, []byte("# a comment\nrepository = \"file\"\na-mock = true\nb-label = 'other'\n"))
	if got := load(); got.Repository != "file" || !got.A.Mock || got.B.Label != "other" {
		t.Errorf("file: got %+v", got)
	}
	env["NEURALUPGRADE_REPOSITORY"] = "environment"
	env["NEURALUPGRADE_A_MOCK"] = "false"
	if got := load(); got.Repository != "environment" || got.A.Mock {
		t.Errorf("environment: got %+v", got)
	}
	if got := load("--repository", "flag"); got.Repository != "flag" {
		t.Errorf("flag: got %+v", got)
	}
	for text, want := range map[string]string{
		"repositry = \"x\"":  `no setting "repositry"`,
		"repository = 5":     "neither a text nor true or false",
		"a-mock = \"maybe\"": "a-mock",
		"repository = ":      "neuralupgrade.toml",
	} {
		w.write(ConfigFile, []byte(text))
		_, stderr := w.must(1, "show")
		has(t, stderr, want)
	}
}

func TestMistakesAreStatus2(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{{"frobnicate"}, {"--frobnicate", "show"}, {"show", "--frobnicate"}, {"status", "x"}} {
		_, stderr := w.must(2, args...)
		has(t, stderr, "hint: `neuralupgrade help`")
	}
	out, _ := w.must(0, "help")
	for _, cmd := range commands() {
		has(t, out, "\n  "+cmd.name+" ")
	}
	out, _ = w.must(0)
	has(t, out, "exit status: 0 done or up to date, 10")
}

func TestTheNodesOwnKeyCountsForUpdates(t *testing.T) {
	w := newWorld(t)
	public, _ := pair()
	other, _, err := release.GenerateKey(zeros{})
	if err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(layout.KeysDir, "test.pub"), other.Text())
	out, _ := w.must(0, "show")
	has(t, out, "incomplete: signed by key")
	if err := os.MkdirAll(filepath.Join(w.root, layout.MountSecret), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(layout.MountSecret, "minisign.pubkey"), public.Text())
	out, _ = w.must(0, "show")
	has(t, out, "version: "+v1)
}

// zeros is a bad source of random numbers: the key is the same in each run.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestATrialIsTheNextBoot(t *testing.T) {
	w := newWorld(t)
	w.changeState(func(s *bootstate.State, tries *bootstate.Tries) {
		s.Try, s.Alt = layout.SideB, ""
		tries.Left, tries.For = 3, s.Seq
	})
	out, _ := w.must(0, "show")
	has(t, out, "nextboot_label: psyopsOS-B\n", "                trial: psyopsOS-B\n                tries_left: 3\n")
	w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left = 0 })
	out, _ = w.must(0, "show")
	has(t, out, "nextboot_label: psyopsOS-A\n", "tries_left: 0\n")
}

func TestTheManualNamesEveryCommandAndNoOther(t *testing.T) {
	manual := string(readFile(t, "../docs/update.md"))
	_, table, _ := strings.Cut(manual, "\n## Commands\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, cmd := range commands() {
		if !slices.Contains([]string{"version", "boot-chart", "health"}, cmd.name) { // of the boot, not of updates
			has(t, table, "| `"+cmd.name)
		}
	}
	for _, line := range strings.Split(table, "\n") {
		word, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		name := strings.FieldsFunc(word, func(r rune) bool { return r == ' ' || r == '`' })[0]
		if !slices.ContainsFunc(commands(), func(c command) bool { return c.name == name }) {
			t.Errorf("there is no command %s", name)
		}
	}
}
