//go:build qemu

package loader

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

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
