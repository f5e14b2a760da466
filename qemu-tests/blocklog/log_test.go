package blocklog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// bytesOf is a log as QEMU writes it.
func bytesOf(entries ...Entry) []byte {
	le := binary.LittleEndian
	super := make([]byte, SectorSize)
	le.PutUint64(super, magic)
	le.PutUint64(super[8:], 1)
	le.PutUint64(super[16:], uint64(len(entries)))
	le.PutUint32(super[24:], SectorSize)
	out := super
	for _, e := range entries {
		head := make([]byte, SectorSize)
		le.PutUint64(head, uint64(e.Sector))
		le.PutUint64(head[8:], uint64(e.Count))
		le.PutUint64(head[16:], e.Flags)
		out = append(append(out, head...), e.Data...)
	}
	return out
}

func write(sector int64, fill ...byte) Entry {
	e := Entry{Sector: sector, Count: int64(len(fill))}
	for _, b := range fill {
		e.Data = append(e.Data, bytes.Repeat([]byte{b}, SectorSize)...)
	}
	return e
}

var flush = Entry{Flags: Flush}

func TestALogIsReadToItsLastCountedEntry(t *testing.T) {
	entries := []Entry{write(5, 'a', 'b'), flush, {Sector: 9, Count: 3, Flags: Discard}, write(7, 'c')}
	text := bytesOf(entries...)
	got, err := Read(bytes.NewReader(append(text, "what QEMU was still writing"...)))
	if err != nil || !reflect.DeepEqual(got, entries) {
		t.Errorf("got %v, %v", got, err)
	}
	for cut := range len(text) {
		if _, err := Read(bytes.NewReader(text[:cut])); err == nil || cut > SectorSize && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for at, want := range map[int]string{0: "not a log", 8: "version", 24: "sectors of", SectorSize + 16: "unknown flags", SectorSize + 15: "sectors at", SectorSize + 11: "a write of"} {
		bad := bytes.Clone(text)
		bad[at] ^= 0x40
		if _, err := Read(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("byte %d: got %v, want %q", at, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(bytesOf(write(5, 'a', 'b'), flush))
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, e := range log {
			if e.Flags&Discard == 0 && int64(len(e.Data)) != e.Count*SectorSize {
				t.Fatalf("%d bytes of %d sectors", len(e.Data), e.Count)
			}
		}
	})
}

// text is what a state has on the first eight sectors; a digit is the image's.
func text(s State) string {
	image := make([]byte, 8*SectorSize)
	for i := range image {
		image[i] = '0' + byte(i/SectorSize)
	}
	out := make([]byte, len(image))
	if _, err := s.Overlay().Over(bytes.NewReader(image), 0).ReadAt(out, 0); err != nil {
		panic(err)
	}
	var b strings.Builder
	for i := 0; i < len(out); i += SectorSize {
		switch c := out[i]; {
		case c == 0:
			b.WriteByte('_')
		case !bytes.Equal(out[i:i+SectorSize], bytes.Repeat([]byte{c}, SectorSize)):
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestTheStatesOfAShortLog(t *testing.T) {
	log := []Entry{write(1, 'a', 'b'), flush, write(2, 'c'), write(4, 'd'), flush}
	got := map[Kind][]string{}
	States(nil, log, Options{Seed: 1, Sectors: 8}, func(s State) bool {
		got[s.Kind] = append(got[s.Kind], text(s))
		return true
	})
	want := map[Kind][]string{
		InOrder: {"01234567", "0ab34567", "0ac34567", "0ac3d567"},
		Torn:    {"0a234567"},
		Garbage: {"0?234567", "0a?34567", "0a?34567", "0ac3?567"},
		Zeroed:  {"0_234567", "0a_34567", "0a_34567", "0ac3_567"},
		Block:   {"________", "________", "________"},
		Subset:  {"0ab34567", "0ac34567", "0ab3d567", "0ac3d567"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAWriteThroughIsInEverySubset(t *testing.T) {
	through := write(3, 'f')
	through.Flags = FUA
	var got []string
	States(nil, []Entry{write(1, 'a'), through, write(5, 'b')}, Options{Sectors: 1}, func(s State) bool {
		if s.Kind == Subset {
			got = append(got, text(s))
		}
		return true
	})
	for _, s := range got {
		if s[3] != 'f' {
			t.Errorf("a subset has %s", s)
		}
	}
	if len(got) == 0 {
		t.Error("no subset")
	}
}

func TestManyWritesAreSampledAndTheSeedDecides(t *testing.T) {
	var log []Entry
	for i := range int64(40) {
		log = append(log, write(i, 'x'))
	}
	count := func(seed uint64) (n int, keys string) {
		States(nil, log, Options{Seed: seed, Subsets: 500, Sectors: 1}, func(s State) bool {
			if s.Kind == Subset {
				n++
				key := s.Overlay().Key()
				keys += string(key[:4])
			}
			return true
		})
		return n, keys
	}
	n, first := count(1)
	_, again := count(1)
	_, other := count(2)
	if n < 500 || first != again || first == other {
		t.Errorf("%d samples; the same seed gives the same: %t; another one too: %t", n, first == again, first == other)
	}
}

func TestAnOverlayIsReadAtAnyOffset(t *testing.T) {
	image := bytes.Repeat([]byte{'.'}, 6*SectorSize)
	o := Overlay{2: bytes.Repeat([]byte{'o'}, SectorSize)}
	whole := bytes.Clone(image)
	copy(whole[2*SectorSize:], o[2])
	for offset := 0; offset < len(image)-700; offset += 37 {
		p := make([]byte, 700)
		if _, err := o.Over(bytes.NewReader(image), 0).ReadAt(p, int64(offset)); err != nil || !bytes.Equal(p, whole[offset:offset+700]) {
			t.Fatalf("at %d: %v", offset, err)
		}
	}
}

func TestRunsAreWhatLiesInOnePiece(t *testing.T) {
	sector := func(c byte) []byte { return bytes.Repeat([]byte{c}, SectorSize) }
	o := Overlay{7: sector('c'), 3: sector('a'), 4: sector('b'), 9: sector('d')}
	got := map[int64]string{}
	for offset, data := range o.Runs {
		for i := 0; i < len(data); i += SectorSize {
			got[offset/SectorSize] += string(data[i])
		}
	}
	if want := map[int64]string{3: "ab", 7: "c", 9: "d"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
