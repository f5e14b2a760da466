package bootstate

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
)

// A medium is an image in memory that is written.
type medium struct {
	t    testing.TB
	data []byte
	name string // of the file with the data of this checksum
	sum  uint32
}

func mediumOf(t testing.TB, image string) *medium {
	t.Helper()
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return &medium{t: t, data: data}
}

func (m *medium) reader() *bytes.Reader { return bytes.NewReader(m.data) }

func (m *medium) apply(writes []BlockWrite) {
	for _, w := range writes {
		copy(m.data[w.Offset:], w.Data)
	}
}

// file is the medium as a sparse file.
func (m *medium) file() string {
	m.t.Helper()
	sum := crc32.ChecksumIEEE(m.data)
	if m.name != "" && sum == m.sum {
		return m.name
	}
	m.name, m.sum = filepath.Join(m.t.TempDir(), "img"), sum
	f, err := os.Create(m.name)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	hole := make([]byte, 64<<10)
	for at := 0; at < len(m.data); at += len(hole) {
		if block := m.data[at:min(at+len(hole), len(m.data))]; !bytes.Equal(block, hole[:len(block)]) {
			if _, err := f.WriteAt(block, int64(at)); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	if err := f.Truncate(int64(len(m.data))); err != nil {
		m.t.Fatal(err)
	}
	return m.name
}

// fsck is what fsck.fat says of it: empty where it has no complaint.
func (m *medium) fsck() string {
	m.t.Helper()
	out, err := exec.Command("fsck.fat", "-n", m.file()).CombinedOutput()
	if err == nil {
		return ""
	}
	return string(out)
}

// reads is what mtools, which shares no code with us, reads of a file.
func (m *medium) reads(path string) string {
	m.t.Helper()
	cmd := exec.Command("mcopy", "-i", m.file(), "::/"+path, "-")
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.Output()
	if err != nil {
		return "?"
	}
	return string(out)
}

var then = time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC)

func TestOtherProgramsReadWhatIsWritten(t *testing.T) {
	for _, kind := range []struct{ size, cluster string }{{"40000", "1"}, {"270000", "8"}} {
		m := mediumOf(t, clustered(t, "32", kind.size, kind.cluster, "EFI/BOOT/BOOTX64.EFI", "loader", "old program.efi", "old", "manifest.json", "{}", "kept.txt", "kept"))
		big := strings.Repeat("0123456789", 30_000)
		writes, err := PlanFiles(m.reader(), 512, then,
			FileChange{Path: "manifest.json", Data: []byte("{new}")},
			FileChange{Path: "memtest64.efi", Data: []byte(big)},
			FileChange{Path: "EFI/BOOT/SPARE.EFI", Data: []byte("spare"), Beside: "EFI/BOOT/BOOTX64.EFI"},
			FileChange{Path: "psyopsESP.tar.minisig", Data: []byte("signature")},
			FileChange{Path: "empty.efi", Data: []byte{}},
			FileChange{Path: "old program.efi", Remove: true},
			FileChange{Path: "never-there", Remove: true})
		if err != nil {
			t.Fatal(err)
		}
		m.apply(writes)
		for path, want := range map[string]string{"manifest.json": "{new}", "memtest64.efi": big, "EFI/BOOT/SPARE.EFI": "spare", "EFI/BOOT/BOOTX64.EFI": "loader",
			"psyopsESP.tar.minisig": "signature", "kept.txt": "kept", "empty.efi": "", "old program.efi": "?"} {
			if got := m.reads(path); got != want {
				t.Errorf("mtools reads %.20q of %s, want %.20q", got, path, want)
			}
			if got, err := ReadWhole(m.reader(), path, 1<<20); want != "?" && (err != nil || string(got) != want) {
				t.Errorf("we read %.20q, %v of %s, want %.20q", got, err, path, want)
			}
		}
		if said := m.fsck(); said != "" {
			t.Errorf("fsck.fat: %s", said)
		}
	}
}

func TestADirectoryGrows(t *testing.T) {
	m := mediumOf(t, image(t, "32", "40000", "a", "a"))
	var changes []FileChange
	for i := range 60 {
		changes = append(changes, FileChange{Path: fmt.Sprintf("a rather long name number %02d.efi", i), Data: []byte(fmt.Sprint("content ", i))})
		changes[i].Path = strings.ReplaceAll(changes[i].Path, " ", "-")
	}
	writes, err := PlanFiles(m.reader(), 512, then, changes...)
	if err != nil {
		t.Fatal(err)
	}
	m.apply(writes)
	for _, c := range changes {
		if got := m.reads(c.Path); got != string(c.Data) {
			t.Errorf("mtools reads %q of %s, want %q", got, c.Path, c.Data)
		}
	}
	if said := m.fsck(); said != "" {
		t.Errorf("fsck.fat: %s", said)
	}
}

// Each write is cut off before it, and inside it at every sector: a file is as
// it was or as it shall be, and what is not changed is there.
func TestACutLeavesEveryFileOldOrNew(t *testing.T) {
	for name, full := range map[string]bool{"with room": false, "nearly full": true} {
		t.Run(name, func(t *testing.T) {
			m := mediumOf(t, image(t, "32", "40000", "EFI/BOOT/BOOTX64.EFI", strings.Repeat("loader", 500), "manifest.json", "{old}", "gone.efi", "gone"))
			if full {
				m.fillUp(12)
			}
			changes := []FileChange{{Path: "manifest.json", Data: []byte("{much newer}")}, {Path: "gone.efi", Remove: true}}
			cutEverywhere(t, m, changes...)
			cutEverywhere(t, m, append(changes, FileChange{Path: "memtest64.efi", Data: bytes.Repeat([]byte("m"), 5000)})...)
		})
	}
}

// fillUp leaves so many clusters free.
func (m *medium) fillUp(but int) {
	m.t.Helper()
	e, err := openEditor(m.reader(), 512, then)
	if err != nil {
		m.t.Fatal(err)
	}
	free := 0
	for c := uint32(2); c-2 < e.v.clusters; c++ {
		if e.next(c) == 0 {
			free++
		}
	}
	writes, err := PlanFiles(m.reader(), 512, then, FileChange{Path: "FILLER", Data: make([]byte, (free-but)*int(e.v.clusterSize))})
	if err != nil {
		m.t.Fatal(err)
	}
	m.apply(writes)
}

func cutEverywhere(t *testing.T, m *medium, changes ...FileChange) {
	t.Helper()
	old := bytes.Clone(m.data)
	defer copy(m.data, old)
	writes, err := PlanFiles(m.reader(), 512, then, changes...)
	if err != nil {
		t.Fatal(err)
	}
	one := func(path string, states ...string) {
		t.Helper()
		got, err := ReadWhole(m.reader(), path, 1<<20)
		text := string(got)
		if errors.Is(err, fs.ErrNotExist) {
			text = "?"
		} else if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, s := range states {
			if text == s {
				return
			}
		}
		t.Errorf("%s is %.20q, want one of %.20q", path, text, states)
	}
	cuts := 0
	for i, w := range writes {
		for torn := 0; torn < len(w.Data); torn += 512 {
			copy(m.data, old)
			m.apply(writes[:i])
			copy(m.data[w.Offset:], w.Data[:torn])
			one("EFI/BOOT/BOOTX64.EFI", strings.Repeat("loader", 500))
			one("manifest.json", "{old}", "{much newer}")
			one("memtest64.efi", "?", strings.Repeat("m", 5000))
			one("gone.efi", "gone", "?")
			// An allocation that is not used yet, a table that is one write
			// ahead of its copy, and a summary are all that a checker sees.
			cuts++
		}
	}
	if cuts < 5 {
		t.Errorf("%d cuts only", cuts)
	}
}

// The table's sectors that a change allocates in hold nothing of other files:
// destroyed by a cut, they destroy nothing. So do the clusters.
func TestNewClustersShareNoTableSectorWithTheLoader(t *testing.T) {
	loader := strings.Repeat("loader", 5000)
	m := mediumOf(t, image(t, "32", "40000", "EFI/BOOT/BOOTX64.EFI", loader, "grub/STATE1.ENV", string(state(1, "A", "0", "0"))))
	old := bytes.Clone(m.data)
	writes, err := PlanFiles(m.reader(), 512, then, FileChange{Path: "memtest64.efi", Data: bytes.Repeat([]byte("m"), 300_000)})
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, w := range writes {
		if w.What != "table" && w.What != "data" {
			continue
		}
		tables++
		copy(m.data, old)
		first, last := w.Offset/mediaBlock*mediaBlock, (w.Offset+int64(len(w.Data))+mediaBlock-1)/mediaBlock*mediaBlock
		for i := first; i < last; i++ {
			m.data[i] = 0xa5
		}
		if got, err := ReadWhole(m.reader(), "EFI/BOOT/BOOTX64.EFI", 1<<20); err != nil || string(got) != loader {
			t.Errorf("%s at %d destroyed: the loader is %d bytes, %v", w.What, w.Offset, len(got), err)
		}
		if _, err := ReadFile(m.reader(), layout.State1); err != nil {
			t.Errorf("%s at %d destroyed: %v", w.What, w.Offset, err)
		}
	}
	if tables < 3 {
		t.Errorf("%d writes of data and tables", tables)
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	m := mediumOf(t, image(t, "32", "40000", "EFI/BOOT/BOOTX64.EFI", "loader"))
	_, err := PlanFiles(m.reader(), 512, then, FileChange{Path: "big.efi", Data: make([]byte, 64<<20)})
	if !errors.Is(err, ErrNoRoom) {
		t.Errorf("got %v, want %v", err, ErrNoRoom)
	}
	for _, path := range []string{"none/x.efi", "EFI/BOOT", "EFI", "a b", "", "EFI/BOOT/BOOTX64.EFI/x"} {
		if writes, err := PlanFiles(m.reader(), 512, then, FileChange{Path: path, Data: []byte("x")}); err == nil {
			t.Errorf("%q: %d writes, want it refused", path, len(writes))
		}
	}
	for _, kind := range []struct{ bits, size string }{{"12", "1440"}, {"16", "16384"}} {
		m := mediumOf(t, image(t, kind.bits, kind.size, "A", "a"))
		if _, err := PlanFiles(m.reader(), 512, then, FileChange{Path: "A", Data: []byte("b")}); err == nil {
			t.Errorf("FAT%s is written", kind.bits)
		}
	}
}

func TestTheTwinIsWrittenInPlaceAndTakesTheLoadersPlace(t *testing.T) {
	m := mediumOf(t, clustered(t, "32", "300000", "8", "EFI/BOOT/BOOTX64.EFI", strings.Repeat("old", 3000), "EFI/BOOT/SPARE.EFI", strings.Repeat("s", 20_000)))
	fresh := strings.Repeat("new", 4000)
	writes, err := PlanInPlace(m.reader(), 512, layout.LoaderSpare, []byte(fresh))
	if err != nil {
		t.Fatal(err)
	}
	m.apply(writes)
	padded := fresh + strings.Repeat("\x00", 8000)
	swap, err := PlanSwap(m.reader(), 512, layout.Loader, layout.LoaderSpare)
	if err != nil {
		t.Fatal(err)
	}
	if len(swap.Data) != 512 {
		t.Errorf("the swap is %d bytes, want one sector", len(swap.Data))
	}
	if got := m.reads(layout.Loader); got != strings.Repeat("old", 3000) {
		t.Errorf("before the swap the loader is %.20q", got)
	}
	m.apply([]BlockWrite{swap})
	if got := m.reads(layout.Loader); got != padded {
		t.Errorf("the loader is %.20q of %d bytes", got, len(got))
	}
	if got := m.reads(layout.LoaderSpare); got != strings.Repeat("old", 3000) {
		t.Errorf("the twin is %.20q", got)
	}
	if said := m.fsck(); said != "" {
		t.Errorf("fsck.fat: %s", said)
	}
	if _, err := PlanInPlace(m.reader(), 512, layout.LoaderSpare, make([]byte, 9001)); !errors.Is(err, ErrTooSmall) {
		t.Errorf("got %v, want %v", err, ErrTooSmall)
	}
}

func TestAnotherLoadersFoldersGiveWayAtOnce(t *testing.T) {
	for _, size := range []string{"131072", "40000"} {
		m := mediumOf(t, image(t, "32", size, "EFI/BOOT/BOOTX64.EFI", strings.Repeat("old", 30_000), "grub/grub.cfg", "menuentry", "grub/x86_64-efi/normal.mod", "module", "manifest.json", "{}", "psyopsESP.tar.minisig", "old", "memtest64.efi", "m"))
		block := state(1, "A", "0", "0")
		tree := LoaderTree{Loader: bytes.Repeat([]byte("new!"), 200_000), States: map[string][]byte{layout.State1: block, layout.State2: block, layout.Tries: tries("0", 0, "0")}}
		writes, err := PlanMove(m.reader(), 512, then, tree)
		if err != nil {
			t.Fatal(err)
		}
		old := bytes.Clone(m.data)
		flips := 0
		for i, w := range writes {
			// Whole old before the one directory sector, whatever becomes of
			// the others, and their neighbours with them.
			copy(m.data, old)
			m.apply(writes[:i])
			if w.What == "directory" {
				flips++
				if len(w.Data) != 512 {
					t.Errorf("%d bytes of the directory in one write", len(w.Data))
				}
			} else if flips == 0 {
				for i := w.Offset / mediaBlock * mediaBlock; i < (w.Offset+int64(len(w.Data))+mediaBlock-1)/mediaBlock*mediaBlock; i++ {
					m.data[i] = 0xa5
				}
			}
			if flips == 0 || w.What == "directory" {
				for path, want := range map[string]string{layout.Loader: strings.Repeat("old", 30_000), "grub/grub.cfg": "menuentry", "grub/x86_64-efi/normal.mod": "module"} {
					if got, err := ReadWhole(m.reader(), path, 1<<20); err != nil || string(got) != want {
						t.Errorf("write %d (%s) destroyed: %s is %.20q, %v", i, w.What, path, got, err)
					}
				}
			}
		}
		if flips != 1 {
			t.Errorf("%d writes of the directory, want 1", flips)
		}
		copy(m.data, old)
		m.apply(writes)
		for path, want := range map[string]string{layout.Loader: strings.Repeat("new!", 200_000), layout.LoaderSpare: strings.Repeat("new!", 200_000), layout.State1: string(block),
			"grub/grub.cfg": "?", "GRUB.OLD/grub.cfg": "menuentry", "EFI.OLD/BOOT/BOOTX64.EFI": strings.Repeat("old", 30_000)} {
			if got := m.reads(path); strings.TrimRight(got, "\x00") != want {
				t.Errorf("mtools reads %.20q (%d bytes) of %s, want %.20q", got, len(got), path, want)
			}
		}
		if said := m.fsck(); said != "" {
			t.Errorf("fsck.fat: %s", said)
		}
		for path, want := range map[string]string{"(loop0)/EFI/BOOT/BOOTX64.EFI": "new!", "(loop0)/grub/STATE1.ENV": string(block), "(loop0)/GRUB.OLD/grub.cfg": "menuentry"} {
			if out, err := exec.Command("grub-fstest", m.file(), "cat", path).CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte(want)) {
				t.Errorf("GRUB reads %.40q, %v of %s, want %.20q (Debian package grub-common)", out, err, path, want)
			}
		}
		for _, path := range []string{layout.State1, layout.State2, layout.Tries} {
			e, err := Locate(m.reader(), path)
			if err != nil || e.Offset%mediaBlock != 0 || e.Size != layout.EnvironmentBlock {
				t.Errorf("%s: %+v, %v; want 512 bytes at a multiple of 4096", path, e, err)
			}
		}
	}
}

func TestALoaderTellsItsVersion(t *testing.T) {
	pe := func(text string) []byte {
		b := make([]byte, 200)
		copy(b, "MZ")
		b[60] = 64
		copy(b[64:], "PE\x00\x00")
		return append(b, text...)
	}
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"ours", pe("xset loader_version=20261121-101500\nset loader_time"), "20261121-101500"},
		{"another", pe("GNU GRUB"), ""},
		{"cut off", pe("set loader_version=2026"), ""},
		{"no EFI program", []byte("set loader_version=20261121-101500\n"), ""},
		{"with blanks", pe("set loader_version=a b\n"), ""},
		{"empty", nil, ""},
	} {
		if got := LoaderVersion(test.data); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// The bytes of a file system are what they are: every loop ends, and nothing
// is written outside of it.
func FuzzPlanFiles(f *testing.F) {
	m := mediumOf(f, image(f, "32", "40000", "EFI/BOOT/BOOTX64.EFI", "loader", "EFI/BOOT/SPARE.EFI", "twin", "grub/grub.cfg", "menu", "a-long-name.efi", "x"))
	v, err := openFAT(m.reader())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(13), []byte{8}, uint8(0))
	f.Add(uint16(36), []byte{1, 0, 0, 0}, uint8(0))
	f.Add(uint16(0), []byte{0xff, 0xff, 0xff, 0x0f, 2, 0, 0, 0}, uint8(1))
	f.Add(uint16(0), bytes.Repeat([]byte{0x41}, 64), uint8(2))
	f.Fuzz(func(t *testing.T, at uint16, bytes []byte, where uint8) {
		data := append([]byte(nil), m.data[:4<<20]...)
		from := []int64{0, v.table, v.data, v.data + v.clusterSize}[where%4] + int64(at)
		copy(data[min(from, int64(len(data))):], bytes)
		r := strings.NewReader(string(data))
		checkInside := func(writes []BlockWrite) {
			for _, w := range writes {
				if w.Offset < 512 && w.What != "summary" || w.Offset%512 != 0 || len(w.Data)%512 != 0 {
					t.Errorf("%s: %d bytes at %d", w.What, len(w.Data), w.Offset)
				}
			}
		}
		writes, err := PlanFiles(r, 512, then, FileChange{Path: "new-long-name.efi", Data: []byte("data")}, FileChange{Path: "a-long-name.efi", Remove: true})
		if err == nil {
			checkInside(writes)
		}
		if w, err := PlanSwap(r, 512, layout.Loader, layout.LoaderSpare); err == nil {
			checkInside([]BlockWrite{w})
		}
		if writes, err := PlanInPlace(r, 512, layout.LoaderSpare, []byte("x")); err == nil {
			checkInside(writes)
		}
	})
}
