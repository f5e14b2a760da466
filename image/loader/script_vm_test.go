//go:build qemu

package loader

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

// TestTheScriptChoosesAsOurCodeDoes runs the shipped script, the same bytes,
// in the real GRUB on OVMF over a table of odd states, and compares what it
// chooses and what it leaves in TRIES.ENV with bootstate's answer for the
// same disk. Only start_side is another: it notes the choice. One boot runs
// the whole table.
func TestTheScriptChoosesAsOurCodeDoes(t *testing.T) {
	cases, kinds := table(), sideKinds()
	d := makeTableDisk(t, cases, kinds)
	console := runTable(t, d.image, d.unreadable, d.unwritable)
	results := regexp.MustCompile(`CASE (\d+) copy=(\d) chosen=(\w+ \w+|none)`).FindAllStringSubmatch(console, -1)
	if len(results) != len(cases) || !strings.Contains(console, "TABLE DONE") {
		t.Fatalf("%d of %d cases were run; the console:\n%s", len(results), len(cases), console)
	}
	after := d.open(t)
	for i, c := range cases {
		want := d.want(t, i, c, kinds)
		got := fmt.Sprintf("copy=%s chosen=%s", results[i][2], results[i][3])
		if wanted := fmt.Sprintf("copy=%d chosen=%s", want.Copy, chosen(want.Boot)); got != wanted {
			t.Errorf("%s: the script: %s; our code: %s\n%s", c.name, got, wanted, section(console, i))
		}
		tries, err := bootstate.ReadFile(after, casePath(i, layout.Tries))
		if err != nil && c.tries != nil {
			t.Errorf("%s: read TRIES.ENV again: %v", c.name, err)
		}
		expected := want.Tries
		if c.bad == layout.Tries || c.unwritable {
			expected = c.tries
		}
		if !bytes.Equal(tries, expected) {
			t.Errorf("%s: the script leaves TRIES.ENV as %q, our code as %q", c.name, trim(tries), trim(expected))
		}
		if c.want != "" && got != c.want {
			t.Errorf("%s: got %s, want %s\n%s", c.name, got, c.want, section(console, i))
		}
	}
	checkMenus(t, console)
	checkDisk(t, console)
	if t.Failed() {
		t.Logf("the whole console:\n%s", console)
	}
}

func chosen(b bootstate.Boot) string {
	if b.Side == "" {
		return "none"
	}
	return b.Side.Letter() + " " + string(b.Why)
}

func trim(block []byte) string { return strings.TrimRight(string(block), "#") }

// section is what the console says of one case.
func section(console string, i int) string {
	_, rest, _ := strings.Cut(console, fmt.Sprintf("BEGIN %d\n", i))
	text, _, _ := strings.Cut(rest, fmt.Sprintf("CASE %d ", i))
	return text
}

func casePath(i int, path string) string { return fmt.Sprintf("C%d/%s", i, path) }

// checkMenus compares what the script takes from MENU.ENV.
func checkMenus(t *testing.T, console string) {
	for i, text := range menus() {
		want := bootstate.ParseMenu(text)
		lines := fmt.Sprintf("MENU %d wait=%d\nMENU %d append=[%s]\n", i, want.Timeout, i, want.Append)
		for _, p := range want.Programs {
			lines += fmt.Sprintf("MENU %d {%s}{%s}\n", i, p.Path, p.Title)
		}
		if got := grep(console, fmt.Sprintf("MENU %d ", i)); got != lines {
			t.Errorf("menu %q: our code:\n%sthe script:\n%s", trim(text), lines, got)
		}
	}
}

// checkDisk wants the partitions of the disk that GRUB itself is from.
func checkDisk(t *testing.T, console string) {
	const want = "DISK esp=(hd0,gpt1) second=(hd0,gpt5) a=hd0,gpt3 b=hd0,gpt4"
	if !strings.Contains(console, want) {
		t.Errorf("the disk: want %s, the script:\n%s", want, grep(console, "DISK"))
	}
}

func grep(text, word string) string {
	out := ""
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out += line
		}
	}
	return out
}

// A tableDisk is the disk image on which the table is run. Its partitions: 1
// the EFI system partition with the loader, 2 a FAT with a folder for each
// case, 3 and 4 empty, 5 a FAT with STATE2.ENV, from 6 on the sides.
type tableDisk struct {
	image                  string
	casesAt, casesSize     int64
	before                 []byte // the partition with the cases
	unreadable, unwritable []int64
}

const (
	fatMiB    = 64
	firstKind = 6
)

func makeTableDisk(t *testing.T, cases []testCase, kinds []sideKind) tableDisk {
	t.Helper()
	dir := t.TempDir()
	o := Options{Version: "20261121-101500", Time: time.Unix(1795256100, 0)}
	script, err := o.script()
	if err != nil {
		t.Fatal(err)
	}
	for i := range script {
		if script[i].path == prefix+"/grub.cfg" {
			script[i].data = []byte(tableScript(cases, kinds))
		}
	}
	program, err := o.build(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1e9, 0)
	makeFAT := func(name, label string, files []disk.File) string {
		path := filepath.Join(dir, name)
		if err := disk.FAT(t.Context(), path, disk.FATOptions{Label: label, SizeBytes: fatMiB << 20}, files, when); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var files []disk.File
	for i, c := range cases {
		for path, data := range map[string][]byte{layout.State1: c.copy1, layout.State2: c.copy2, layout.Tries: c.tries} {
			if data != nil {
				files = append(files, disk.File{Path: casePath(i, path), Data: data})
			}
		}
	}
	for i, data := range menus() {
		files = append(files, disk.File{Path: fmt.Sprintf("M%d/%s", i, layout.Menu), Data: data})
	}
	part := func(number int, content string, mib int64) disk.Partition {
		return disk.Partition{Number: number, Label: fmt.Sprint("p", number), TypeGUID: disk.TypeLinux, PartGUID: disk.DerivedGUID("table", fmt.Sprint(number)), SizeBytes: mib << 20, Content: content}
	}
	esp := part(1, makeFAT("esp", "PSYOPSOSEFI", []disk.File{{Path: layout.Loader, Data: program}}), fatMiB)
	esp.TypeGUID = disk.TypeEFISystem
	parts := []disk.Partition{esp, part(2, makeFAT("cases", "CASES", files), fatMiB), part(3, "", 1), part(4, "", 1),
		part(5, makeFAT("esp2", "PSYOPSESP2", []disk.File{{Path: layout.State2, Data: state(1, "A", "0", "0")}}), fatMiB)}
	for i, k := range kinds {
		parts = append(parts, part(firstKind+i, makeSide(t, filepath.Join(dir, fmt.Sprint("side", i)), i, k), 4))
	}
	d := tableDisk{image: filepath.Join(dir, "disk"), casesAt: (1 + fatMiB) << 20, casesSize: fatMiB << 20}
	if err := disk.Image(t.Context(), d.image, disk.Disk{GUID: disk.DerivedGUID("table", "disk"), Partitions: parts}, nil); err != nil {
		t.Fatal(err)
	}
	if d.before, err = os.ReadFile(filepath.Join(dir, "cases")); err != nil {
		t.Fatal(err)
	}
	d.findBadSectors(t, cases)
	return d
}

func (d *tableDisk) findBadSectors(t *testing.T, cases []testCase) {
	t.Helper()
	for i, c := range cases {
		sector := func(path string) int64 {
			e, err := bootstate.Locate(bytes.NewReader(d.before), casePath(i, path))
			if err != nil {
				t.Fatal(err)
			}
			return (d.casesAt + e.Offset) / 512
		}
		if c.bad != "" {
			d.unreadable = append(d.unreadable, sector(c.bad))
		}
		if c.unwritable {
			d.unwritable = append(d.unwritable, sector(layout.Tries))
		}
	}
}

// open is the partition with the cases as GRUB left it.
func (d tableDisk) open(t *testing.T) io.ReaderAt {
	t.Helper()
	f, err := os.Open(d.image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return io.NewSectionReader(f, d.casesAt, d.casesSize)
}

// want is bootstate's answer, from what our own FAT code reads of the disk.
func (d tableDisk) want(t *testing.T, i int, c testCase, kinds []sideKind) bootstate.Choice {
	t.Helper()
	read := func(path string) []byte {
		data, err := bootstate.ReadFile(bytes.NewReader(d.before), casePath(i, path))
		if err != nil || c.bad == path {
			return nil
		}
		return data
	}
	loads := func(side layout.Label) bool {
		name := map[layout.Label]string{layout.SideA: c.a, layout.SideB: c.b}[side]
		for _, k := range kinds {
			if k.name == name {
				err := bootstate.CheckSide(k.files)
				return k.label == side && (err == nil || err == bootstate.ErrUnchecked)
			}
		}
		return false
	}
	tries := read(layout.Tries)
	if c.unwritable {
		// As far as choosing goes, counts that cannot be written are a
		// block without room.
		tries = bytes.TrimRight(tries, "#")
		tries = tries[:len(tries)-1]
	}
	return bootstate.Next(read(layout.State1), read(layout.State2), tries, loads)
}

func makeSide(t *testing.T, path string, i int, k sideKind) string {
	t.Helper()
	if k.label == "" {
		return ""
	}
	var files []disk.File
	err := fs.WalkDir(k.files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(k.files, name)
		files = append(files, disk.File{Path: name, Data: append([]byte{}, data...)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o := disk.Ext4Options{Label: string(k.label), SizeBytes: 4 << 20, UUID: disk.DerivedGUID("u", fmt.Sprint(i)), HashSeed: disk.DerivedGUID("h", fmt.Sprint(i)), Time: time.Unix(1e9, 0)}
	if err := disk.Ext4(t.Context(), path, o, files); err != nil {
		t.Fatal(err)
	}
	return path
}

// tableScript is the loader's grub.cfg for the table.
func tableScript(cases []testCase, kinds []sideKind) string {
	var b strings.Builder
	for _, name := range []string{"version", "terminal", "disk", "state", "side", "choose", "start", "menu"} {
		fmt.Fprintf(&b, "source $prefix/%s.cfg\n", name)
	}
	b.WriteString(`
function start_side { set chosen="$1 $2"; return 0; }
find_disk
echo "DISK esp=$esp second=$second a=$side_a b=$side_b"
`)
	device := func(name string) string {
		for i, k := range kinds {
			if k.name == name {
				return fmt.Sprintf("$disk,gpt%d", firstKind+i)
			}
		}
		return "$disk,gpt99"
	}
	for i, c := range cases {
		fmt.Fprintf(&b, "echo BEGIN %d\nset esp=\"($disk,gpt2)/C%d\"; set second=\"$esp\"; set side_a=%q; set side_b=%q; set chosen=none\nchoose\necho \"CASE %d copy=$copy chosen=$chosen\"\n",
			i, i, device(c.a), device(c.b), i)
	}
	for i := range menus() {
		fmt.Fprintf(&b, "set esp=\"($disk,gpt2)/M%d\"\nread_menu\necho \"MENU %d wait=$wait\"\necho \"MENU %d append=[$append]\"\n", i, i, i)
		for n := range bootstate.MaxPrograms {
			fmt.Fprintf(&b, "add_program \"$program%d\"\nif [ \"x$file\" != x ]; then echo \"MENU %d {$file}{$title}\"; fi\n", n+1, i)
		}
	}
	b.WriteString("echo TABLE DONE\nhalt\n")
	return b.String()
}

// runTable boots the disk and gives back what the serial line said.
func runTable(t *testing.T, image string, unreadable, unwritable []int64) string {
	t.Helper()
	vars := filepath.Join(t.TempDir(), "vars.fd")
	data, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.fd")
	if err == nil {
		err = os.WriteFile(vars, data, 0o600)
	}
	if err != nil {
		t.Fatalf("OVMF (Debian package ovmf): %v", err)
	}
	// The errors are injected below the raw format, which is what tells
	// blkdebug of reads and writes.
	node := "driver=raw,node-name=d,file.driver=blkdebug,file.image.driver=file,file.image.filename=" + image
	for i, sector := range unreadable {
		node += fmt.Sprintf(",file.inject-error.%d.event=read_aio,file.inject-error.%d.iotype=read,file.inject-error.%d.sector=%d,file.inject-error.%d.errno=5", i, i, i, sector, i)
	}
	for i, sector := range unwritable {
		i += len(unreadable)
		node += fmt.Sprintf(",file.inject-error.%d.event=write_aio,file.inject-error.%d.iotype=write,file.inject-error.%d.sector=%d,file.inject-error.%d.errno=5", i, i, i, sector, i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "512",
		"-nodefaults", "-display", "none", "-no-user-config", "-no-reboot", "-monitor", "none", "-net", "none", "-serial", "stdio",
		"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,file="+vars,
		"-blockdev", node, "-device", "virtio-blk-pci,drive=d,bootindex=0")
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Run(); err != nil {
		t.Errorf("qemu-system-x86_64: %v", err)
	}
	return regexp.MustCompile(`\x1b\[[0-9;=?]*[A-Za-z]|\r`).ReplaceAllString(console.String(), "")
}

// A sideKind is one partition of the table's disk. Its label is what it says,
// not what it should say; none means that the partition is empty.
type sideKind struct {
	name  string
	label layout.Label
	files fstest.MapFS
}
