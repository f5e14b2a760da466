package bootstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf16"
)

// slotBytes is the size of a directory's slots. A file has one, and before it
// one for each 13 characters of a name that is not of the 8.3 kind.
const (
	slotBytes   = 32
	slotName    = 13
	longSlot    = 0x0f
	folderSlot  = 0x10
	volumeSlot  = 0x08
	archiveSlot = 0x20
	deletedSlot = 0xe5
)

// A slot is one of a directory, and where it is.
type slot struct {
	at  int64
	raw [slotBytes]byte
}

func (s slot) isFree() bool { return s.raw[0] == 0 || s.raw[0] == deletedSlot }

func (s slot) first() uint32 {
	return uint32(binary.LittleEndian.Uint16(s.raw[20:]))<<16 | uint32(binary.LittleEndian.Uint16(s.raw[26:]))
}

// A found is a directory's entry: its slots, the one of the 8.3 name last.
type found struct {
	slots []slot
	name  string // the long one, or else the short one
}

func (f found) short() slot    { return f.slots[len(f.slots)-1] }
func (f found) isFolder() bool { return f.short().raw[11]&folderSlot != 0 }
func (f found) size() uint32 {
	short := f.short()
	return binary.LittleEndian.Uint32(short.raw[28:])
}

// slots are those of a directory, all of its clusters'.
func (e *editor) slots(first uint32) (list []slot, last uint32, err error) {
	b := make([]byte, e.v.clusterSize)
	for c, read := first, int64(0); c >= 2 && c-2 < e.v.clusters; c = e.next(c) {
		if read += e.v.clusterSize; read > maxDirectory {
			return nil, 0, fmt.Errorf("a directory of more than %d bytes", maxDirectory)
		}
		if err := e.read(b, e.v.offset(c)); err != nil {
			return nil, 0, fmt.Errorf("read a directory: %w", err)
		}
		for at := int64(0); at < e.v.clusterSize; at += slotBytes {
			list = append(list, slot{e.v.offset(c) + at, [slotBytes]byte(b[at:])})
		}
		last = c
	}
	if last == 0 {
		return nil, 0, fmt.Errorf("a directory at cluster %d of %d", first, e.v.clusters)
	}
	return list, last, nil
}

// entries reads the slots as files and folders.
func entries(slots []slot) (list []found) {
	var long []slot
	for _, s := range slots {
		switch {
		case s.raw[0] == 0:
			return list
		case s.raw[0] == deletedSlot:
			long = nil
		case s.raw[11] == longSlot:
			long = append(long, s)
		case s.raw[11]&volumeSlot != 0:
			long = nil
		default:
			f := found{slots: append(long, s), name: shortText(s.raw)}
			if name, ok := longName(long, s.raw); ok {
				f.name = name
			} else {
				f.slots = []slot{s}
			}
			list, long = append(list, f), nil
		}
	}
	return list
}

func shortText(raw [slotBytes]byte) string {
	name := strings.TrimRight(string(raw[:8]), " ")
	if extension := strings.TrimRight(string(raw[8:11]), " "); extension != "" {
		name += "." + extension
	}
	return name
}

// longName is the name in the slots before a short one, if they are its own.
func longName(long []slot, short [slotBytes]byte) (string, bool) {
	if len(long) == 0 || long[0].raw[0] != byte(0x40|len(long)) {
		return "", false
	}
	var units []uint16
	for i := len(long) - 1; i >= 0; i-- {
		raw := long[i].raw
		if raw[0]&0x3f != byte(len(long)-i) || raw[13] != checksum(short) {
			return "", false
		}
		for _, at := range characterPlaces() {
			units = append(units, binary.LittleEndian.Uint16(raw[at:]))
		}
	}
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	return string(utf16.Decode(units)), true
}

// characterPlaces are where a long name's 13 characters are in its slot.
func characterPlaces() [slotName]int {
	return [slotName]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
}

// checksum ties a long name to its short one.
func checksum(short [slotBytes]byte) (sum byte) {
	for _, c := range short[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// find looks for a file or folder; of none, the folder's cluster is still
// told.
func (e *editor) find(path string) (f found, folder uint32, err error) {
	folder = e.v.rootCluster
	names := strings.Split(path, "/")
	for i, name := range names {
		slots, _, err := e.slots(folder)
		if err != nil {
			return found{}, 0, fmt.Errorf("find %s: %w", path, err)
		}
		here, ok := lookup(slots, name)
		switch {
		case i == len(names)-1 && ok:
			return here, folder, nil
		case i == len(names)-1:
			return found{}, folder, fmt.Errorf("find %s: %w", path, fs.ErrNotExist)
		case !ok || !here.isFolder():
			return found{}, 0, fmt.Errorf("find %s: there is no folder %s: %w", path, name, fs.ErrNotExist)
		}
		folder = here.short().first()
	}
	return found{}, 0, fs.ErrNotExist
}

func lookup(slots []slot, name string) (found, bool) {
	for _, f := range entries(slots) {
		if strings.EqualFold(f.name, name) || strings.EqualFold(shortText(f.short().raw), name) {
			return f, true
		}
	}
	return found{}, false
}

// remove takes a file's entry away and gives its clusters back later.
func (e *editor) remove(path string) error {
	f, _, err := e.find(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if f.isFolder() {
		return fmt.Errorf("remove %s: it is a folder", path)
	}
	for _, s := range f.slots {
		if err := e.put(s.at, []byte{deletedSlot}); err != nil {
			return err
		}
	}
	e.freed = append(e.freed, f.short().first())
	return nil
}

// enter makes the directory say that a file begins at a cluster.
func (e *editor) enter(c FileChange, first uint32) error {
	f, folder, err := e.find(c.Path)
	if err == nil {
		if f.isFolder() {
			return fmt.Errorf("write %s: it is a folder", c.Path)
		}
		if err := e.sameSector(c, f.short().at); err != nil {
			return err
		}
		e.freed = append(e.freed, f.short().first())
		raw := f.short().raw
		e.pointTo(raw[:], first, uint32(len(c.Data)))
		return e.put(f.short().at, raw[:])
	}
	if folder == 0 || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	slots, last, err := e.slots(folder)
	if err != nil {
		return err
	}
	name := c.Path[strings.LastIndex(c.Path, "/")+1:]
	raw, err := e.newEntry(slots, name, archiveSlot, first, uint32(len(c.Data)))
	if err != nil {
		return fmt.Errorf("write %s: %w", c.Path, err)
	}
	at, err := e.place(c, slots, last, len(raw)/slotBytes)
	if err != nil {
		return fmt.Errorf("write %s: %w", c.Path, err)
	}
	return e.put(at, raw)
}

func (e *editor) sameSector(c FileChange, at int64) error {
	if c.Beside == "" {
		return nil
	}
	beside, _, err := e.find(c.Beside)
	if err != nil {
		return err
	}
	if at/e.unit != beside.short().at/e.unit {
		return fmt.Errorf("%s and %s are not in one sector of the directory", c.Path, c.Beside)
	}
	return nil
}

// place finds n free slots in one sector, so that an entry comes into being
// with one write, or makes the directory larger.
func (e *editor) place(c FileChange, slots []slot, last uint32, n int) (int64, error) {
	for i := 0; i+n <= len(slots); i++ {
		at := slots[i].at
		if at/e.unit != (at+int64(n*slotBytes)-1)/e.unit || !allFree(slots[i:i+n]) {
			continue
		}
		if c.Beside != "" && e.sameSector(c, at) != nil {
			continue
		}
		// A slot of zeros is the end: what lies before must not be one.
		for j := i - 1; j >= 0 && slots[j].raw[0] == 0; j-- {
			if err := e.put(slots[j].at, []byte{deletedSlot}); err != nil {
				return 0, err
			}
		}
		return at, nil
	}
	if c.Beside != "" {
		return 0, fmt.Errorf("%w for it beside %s in the directory", ErrNoRoom, c.Beside)
	}
	return e.grow(slots, last)
}

func allFree(slots []slot) bool {
	for i, s := range slots {
		if !s.isFree() || i > 0 && s.at != slots[i-1].at+slotBytes {
			return false
		}
	}
	return true
}

// grow adds a cluster to a directory. The table's entry of the directory's
// last cluster changes, after the new cluster is there.
func (e *editor) grow(slots []slot, last uint32) (int64, error) {
	for j := len(slots) - 1; j >= 0 && slots[j].raw[0] == 0; j-- {
		if err := e.put(slots[j].at, []byte{deletedSlot}); err != nil {
			return 0, err
		}
	}
	if err := e.flush("directory"); err != nil {
		return 0, err
	}
	firsts, err := e.store([][]byte{make([]byte, e.v.clusterSize)})
	if err != nil {
		return 0, err
	}
	e.link(last, firsts[0])
	return e.v.offset(firsts[0]), e.writeTables()
}

// pointTo sets where an entry's file begins, and its size and time.
func (e *editor) pointTo(raw []byte, first, size uint32) {
	le := binary.LittleEndian
	le.PutUint16(raw[20:], uint16(first>>16))
	le.PutUint16(raw[26:], uint16(first))
	le.PutUint32(raw[28:], size)
	year := max(0, min(127, e.now.UTC().Year()-1980))
	le.PutUint16(raw[24:], uint16(year<<9|int(e.now.UTC().Month())<<5|e.now.UTC().Day()))
	le.PutUint16(raw[22:], uint16(e.now.UTC().Hour()<<11|e.now.UTC().Minute()<<5|e.now.UTC().Second()/2))
	copy(raw[16:18], raw[24:26])
	copy(raw[18:20], raw[24:26])
}

// newEntry renders the slots of a new entry in a directory.
func (e *editor) newEntry(slots []slot, name string, attributes byte, first, size uint32) ([]byte, error) {
	if name == "" || len(name) > 100 || !only(name, "._-+~") || strings.Trim(name, ".") != name {
		return nil, fmt.Errorf("%q is no name for a file here", name)
	}
	var short [slotBytes]byte
	raw, ok := shortName(name)
	if ok && strings.ToUpper(name) == name {
		copy(short[:], raw[:])
		short[11] = attributes
		e.pointTo(short[:], first, size)
		return short[:], nil
	}
	alias, err := aliasFor(slots, name)
	if err != nil {
		return nil, err
	}
	copy(short[:], alias[:])
	short[11] = attributes
	e.pointTo(short[:], first, size)
	return append(longSlots(name, checksum(short)), short[:]...), nil
}

// longSlots render a long name, its end first.
func longSlots(name string, sum byte) (out []byte) {
	units := utf16.Encode([]rune(name))
	n := (len(units) + slotName - 1) / slotName
	if len(units) < n*slotName {
		units = append(units, 0)
	}
	for len(units) < n*slotName {
		units = append(units, 0xffff)
	}
	for i := n; i >= 1; i-- {
		var raw [slotBytes]byte
		raw[0], raw[11], raw[13] = byte(i), longSlot, sum
		if i == n {
			raw[0] |= 0x40
		}
		for k, at := range characterPlaces() {
			binary.LittleEndian.PutUint16(raw[at:], units[(i-1)*slotName+k])
		}
		out = append(out, raw[:]...)
	}
	return out
}

// aliasFor makes an 8.3 name that the directory does not have yet.
func aliasFor(slots []slot, name string) (out [11]byte, err error) {
	letters := func(s string, most int) string {
		s = strings.Map(func(r rune) rune {
			if r == '.' || r == '+' {
				return -1
			}
			return r
		}, strings.ToUpper(s))
		return s[:min(len(s), most)]
	}
	stem, extension := name, ""
	if dot := strings.LastIndex(name, "."); dot > 0 {
		stem, extension = name[:dot], name[dot+1:]
	}
	for n := 1; n < 1000; n++ {
		tail := fmt.Sprintf("~%d", n)
		out = [11]byte([]byte("           "))
		copy(out[:8], letters(stem, 8-len(tail))+tail)
		copy(out[8:], letters(extension, 3))
		taken := false
		for _, s := range slots {
			taken = taken || !s.isFree() && s.raw[11] != longSlot && [11]byte(s.raw[:11]) == out
		}
		if !taken {
			return out, nil
		}
	}
	return out, fmt.Errorf("no short name for %q is free", name)
}
