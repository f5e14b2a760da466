package bootstate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"psyopsOS/layout"
)

// run runs a program that the tests need.
func run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s(Debian packages dosfstools, mtools)", name, strings.Join(args, " "), err, out)
	}
}

// image makes a FAT file system with the real tools and copies files into it.
func image(t testing.TB, bits, size string, files ...string) string {
	t.Helper()
	return clustered(t, bits, size, "1", files...)
}

func clustered(t testing.TB, bits, size, cluster string, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	img := filepath.Join(dir, "img")
	run(t, "mkfs.fat", "-C", "-F", bits, "-s", cluster, img, size)
	var folders []string
	for i := 0; i < len(files); i += 2 {
		for at := range strings.SplitAfter(files[i], "/") {
			d := strings.TrimSuffix(strings.Join(strings.SplitAfter(files[i], "/")[:at], ""), "/")
			if d != "" && !slices.Contains(folders, d) {
				folders = append(folders, d)
				run(t, "mmd", "-i", img, "::/"+d)
			}
		}
		source := filepath.Join(dir, "file")
		if err := os.WriteFile(source, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "mcopy", "-i", img, source, "::/"+files[i])
	}
	return img
}

func TestAFileIsFoundOnFAT(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 100)
	var many []string
	for i := range 40 {
		many = append(many, "grub/F"+string(rune('A'+i%26))+string(rune('A'+i/26)), "x")
	}
	for _, kind := range []struct{ bits, size string }{{"12", "1440"}, {"16", "16384"}, {"32", "40000"}} {
		t.Run("FAT"+kind.bits, func(t *testing.T) {
			img := image(t, kind.bits, kind.size, append(many, "root.txt", "in the root", "grub/STATE1.ENV", big, "EFI/x", "", "a long file name", "y")...)
			f, err := os.Open(img)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for path, want := range map[string]string{"ROOT.TXT": "in the root", "grub/STATE1.ENV": big, "efi/X": ""} {
				if got, err := ReadFile(f, path); err != nil || string(got) != want {
					t.Errorf("%s: got %.40q, %v; want %.40q", path, got, err, want)
				}
			}
			for _, path := range []string{"none", "grub/none", "none/STATE1.ENV", "root.txt/x"} {
				if e, err := Locate(f, path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: got %+v, %v; want that it does not exist", path, e, err)
				}
			}
			for _, path := range []string{"grub", "a long file name", "", "/grub/STATE1.ENV"} {
				if e, err := Locate(f, path); err == nil {
					t.Errorf("%q: got %+v, want it refused", path, e)
				}
			}
		})
	}
}

func TestAFileInPiecesIsSeen(t *testing.T) {
	img := image(t, "16", "16384", "A", strings.Repeat("a", 2048), "B", strings.Repeat("b", 2048), "C", "c")
	run(t, "mdel", "-i", img, "::/A")
	hole := filepath.Join(t.TempDir(), "d")
	if err := os.WriteFile(hole, bytes.Repeat([]byte("d"), 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "mcopy", "-i", img, hole, "::/D")
	data, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"B": true, "C": true} {
		if e, err := Locate(bytes.NewReader(data), path); err != nil || e.Contiguous != want {
			t.Errorf("%s: got %+v, %v; want in one piece: %t", path, e, err, want)
		}
	}
	// mtools fills from where it stopped: break D's chain by hand where it
	// has not done it already, by swapping two links of the FAT.
	e, err := Locate(bytes.NewReader(data), "D")
	if err != nil {
		t.Fatal(err)
	}
	v, err := openFAT(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	first := uint32((e.Offset-v.data)/v.clusterSize) + 2
	link := func(c uint32) []byte { return data[v.table+int64(c)*2:][:2] }
	third := bytes.Clone(link(first + 1))
	copy(link(first), third)
	if e, err := Locate(bytes.NewReader(data), "D"); err == nil && e.Contiguous {
		t.Errorf("a chain that leaves a cluster out: got %+v", e)
	}
	copy(link(first), []byte{byte(first), byte(first >> 8)})
	if e, err := Locate(bytes.NewReader(data), "D"); err != nil || e.Contiguous {
		t.Errorf("a chain that leads to itself: got %+v, %v", e, err)
	}
	copy(link(first), []byte{0, 0})
	if e, err := Locate(bytes.NewReader(data), "D"); err == nil {
		t.Errorf("a chain that ends early: got %+v", e)
	}
}

func TestOneSectorIsWrittenAndReadBack(t *testing.T) {
	block := string(state(1, "A", "0", "0"))
	img := image(t, "32", "40000", "grub/STATE1.ENV", block, "grub/TRIES.ENV", string(tries("0", 0, "0")), "grub/SHORT.ENV", block[:100], "grub/ZERO.ENV", string(make([]byte, 512)))
	before, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirect(img, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	next := state(2, "B", "0", "0")
	if err := Write(d, layout.State1, next, false); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Locate(bytes.NewReader(before), layout.State1)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(before)
	copy(want[e.Offset:], next)
	if !bytes.Equal(after, want) {
		t.Error("more or less than the one sector has changed")
	}
	for path, content := range map[string][]byte{
		"grub/SHORT.ENV": next, "grub/ZERO.ENV": next, "grub/NONE.ENV": next, layout.State1: next[:511], layout.Tries: make([]byte, 512),
	} {
		if err := Write(d, path, content, false); err == nil {
			t.Errorf("%s: %d bytes beginning %.5q are written", path, len(content), content)
		}
	}
	if err := Write(d, "grub/ZERO.ENV", next, true); err != nil {
		t.Errorf("mending a block of zeros: %v", err)
	}
	if got, err := ReadFile(d, "grub/ZERO.ENV"); err != nil || !bytes.Equal(got, next) {
		t.Errorf("the mended block: got %q, %v", got, err)
	}
}

// A sick device: reads of one range fail, or writes get lost.
type sick struct {
	data    []byte
	sector  int
	unread  int64 // offset of a sector that cannot be read
	loses   bool
	written []int64
}

func (s *sick) SectorSize() int { return s.sector }
func (s *sick) ReadAt(p []byte, offset int64) (int, error) {
	if s.unread >= 0 && s.unread < offset+int64(len(p)) && offset < s.unread+512 {
		return 0, errors.New("input/output error")
	}
	return bytes.NewReader(s.data).ReadAt(p, offset)
}
func (s *sick) WriteAt(p []byte, offset int64) (int, error) {
	s.written = append(s.written, offset, int64(len(p)))
	if !s.loses {
		copy(s.data[offset:], p)
		s.unread = -1
	}
	return len(p), nil
}

func TestASickDiskIsToldAndAnUnreadableSectorIsMended(t *testing.T) {
	data, err := os.ReadFile(clustered(t, "32", "300000", "8", "grub/STATE1.ENV", string(state(1, "A", "0", "0"))))
	if err != nil {
		t.Fatal(err)
	}
	data = data[:8<<20]
	e, err := Locate(bytes.NewReader(data), layout.State1)
	if err != nil {
		t.Fatal(err)
	}
	next := state(2, "A", "0", "0")
	if err := Write(&sick{data: bytes.Clone(data), sector: 512, unread: -1, loses: true}, layout.State1, next, false); err == nil {
		t.Error("a lost write is not noticed")
	}
	d := &sick{data: bytes.Clone(data), sector: 4096, unread: e.Offset}
	if err := Write(d, layout.State1, next, false); err == nil {
		t.Error("an unreadable sector is not told")
	}
	if err := Write(d, layout.State1, next, true); err != nil {
		t.Errorf("mend an unreadable sector: %v", err)
	}
	if got, err := ReadFile(d, layout.State1); err != nil || !bytes.Equal(got, next) {
		t.Errorf("the mended sector: got %q, %v", got, err)
	}
	small, err := os.ReadFile(image(t, "32", "40000", "grub/STATE1.ENV", string(state(1, "A", "0", "0"))))
	if err != nil {
		t.Fatal(err)
	}
	if e, err = Locate(bytes.NewReader(small), layout.State1); err != nil {
		t.Fatal(err)
	}
	if err := Write(&sick{data: small, sector: 4096, unread: e.Offset}, layout.State1, next, true); err == nil {
		t.Error("an unreadable sector that holds other files too is overwritten")
	}
	if d.written[1] != 4096 || d.written[0]%4096 != 0 {
		t.Errorf("wrote %v, want one whole sector of 4096", d.written)
	}
}

func TestTheFiveFilesAreReadFromTwoPartitions(t *testing.T) {
	one, two, counts := string(state(1, "A", "0", "0")), string(state(2, "B", "0", "0")), string(tries("1", 2, "0"))
	open := func(files ...string) *os.File {
		f, err := os.Open(image(t, "32", "40000", files...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first := open("grub/STATE1.ENV", one, "grub/TRIES.ENV", counts)
	second := open("grub/STATE2.ENV", two)
	c := ReadCopies(first, second)
	if string(c.State1) != one || string(c.State2) != two || string(c.Tries) != counts || c.Fail != nil || c.Menu != nil || c.State2On != 5 || len(c.Errors) != 2 {
		t.Errorf("two partitions: got %+v", c)
	}
	alone := open("grub/STATE1.ENV", one, "grub/STATE2.ENV", two)
	for name, other := range map[string]*os.File{"no second one": nil, "a second one without the file": first} {
		var c Copies
		if other == nil {
			c = ReadCopies(alone, nil)
		} else {
			c = ReadCopies(alone, other)
		}
		if string(c.State2) != two || c.State2On != 1 {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}

// tinyFAT is a file system of a few sectors with grub/STATE1.ENV, made by hand
// because the tools make none so small.
func tinyFAT(bits int) []byte {
	data := make([]byte, 16*512)
	copy(data[11:], []byte{0, 2, 1, 1, 0, 1, 16, 0}) // 512, 1 a cluster, 1 reserved, 1 FAT, 16 root entries
	total, perTable := uint16(12), uint16(1)
	folder := data[3*512:]
	if bits == 16 {
		total = 5000
	}
	root := data[2*512:]
	if bits == 32 {
		data[17], perTable = 0, 0
		data[36], data[44] = 1, 3
		folder = data[2*512:]
		root = data[3*512:]
	}
	binary.LittleEndian.PutUint16(data[19:], total)
	binary.LittleEndian.PutUint16(data[22:], perTable)
	copy(root, "GRUB       \x10")
	root[26] = 2
	copy(folder, "STATE1  ENV\x20")
	folder[26], folder[28] = 4, 5
	return data
}

func FuzzFAT(f *testing.F) {
	for _, bits := range []int{12, 16, 32} {
		if e, err := Locate(bytes.NewReader(tinyFAT(bits)), layout.State1); err != nil || e.Size != 5 {
			f.Fatalf("the seed FAT%d: %+v, %v", bits, e, err)
		}
		f.Add(tinyFAT(bits))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Locate(bytes.NewReader(data), layout.State1)
		if err == nil && (e.Offset < 0 || e.Size < 0) {
			t.Fatalf("got %+v", e)
		}
	})
}
