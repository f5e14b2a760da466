package bootstate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"psyopsOS/layout"
)

// A LoaderTree is what the two folders of the loader hold on an EFI system
// partition that is moved from the first psyopsOS's loader to ours, or whose
// own folders are destroyed.
type LoaderTree struct {
	Loader  []byte            // with room for a larger one behind it
	States  map[string][]byte // state files by their paths
	Discard bool              // of the old folders nothing is worth keeping
}

// Where the first psyopsOS's two folders stay, out of the way.
const (
	oldLoaderDir = "EFI.OLD"
	oldStateDir  = "GRUB.OLD"
)

// PlanMove says which writes bring a LoaderTree onto a FAT32 file system that
// has /EFI and /grub of another loader. The new folders are made in clusters
// that nothing uses; then one write of one sector of the root directory makes
// them /EFI and /grub, both at once. Before it the old loader has all its files,
// after it the new one has. The old folders stay under other names.
func PlanMove(r io.ReaderAt, sectorSize int, now time.Time, t LoaderTree) ([]BlockWrite, error) {
	e, err := openEditor(r, sectorSize, now)
	if err != nil {
		return nil, err
	}
	efi, _, err := e.find(path.Dir(layout.LoaderDir))
	if err != nil {
		return nil, err
	}
	grub, root, err := e.find(layout.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no folder /%s: what loader is this? %w", layout.StateDir, err)
	}
	if err != nil {
		return nil, err
	}
	if efi.short().at/e.unit != grub.short().at/e.unit {
		return nil, fmt.Errorf("/EFI and /grub are not in one sector of the directory: they could not be replaced at once")
	}
	newEFI, newGrub, err := e.storeTree(t)
	if err != nil {
		return nil, err
	}
	if !t.Discard {
		if err := e.keepOld(root, efi, grub); err != nil {
			return nil, err
		}
	}
	for _, change := range []struct {
		entry found
		first uint32
	}{{efi, newEFI}, {grub, newGrub}} {
		raw := change.entry.short().raw
		e.pointTo(raw[:], change.first, 0)
		if err := e.put(change.entry.short().at, raw[:]); err != nil {
			return nil, err
		}
	}
	if err := e.flush("directory"); err != nil {
		return nil, err
	}
	err = e.summary()
	return e.writes, err
}

// keepOld gives the old folders other names, where these need no second
// sector. Otherwise their clusters stay in use by nothing.
func (e *editor) keepOld(root uint32, efi, grub found) error {
	for _, old := range []struct {
		entry found
		name  string
	}{{efi, oldLoaderDir}, {grub, oldStateDir}} {
		slots, _, err := e.slots(root)
		if err != nil {
			return err
		}
		raw, err := e.newEntry(slots, old.name, folderSlot, old.entry.short().first(), 0)
		if err != nil {
			return err
		}
		_, taken := lookup(slots, old.name)
		i := slices.IndexFunc(slots, func(s slot) bool { return s.isFree() && s.at/e.unit == efi.short().at/e.unit })
		if i < 0 || taken {
			continue
		}
		if err := e.put(slots[i].at, raw); err != nil {
			return err
		}
	}
	return nil
}

// storeTree writes the folders and files and gives the folders' clusters.
func (e *editor) storeTree(t LoaderTree) (efi, grub uint32, err error) {
	size := e.v.clusterSize
	loader := (int64(len(t.Loader)) + size - 1) / size * size
	var names []string
	for name := range t.States {
		names = append(names, name)
	}
	slices.Sort(names)
	// folder, folder, folder, loader, its twin; then padding and a state file
	// in turn, and padding again.
	n := 3 + 2*loader/size + int64(len(names)+1)*(layout.PaddingAroundState+2*mediaBlock)/size
	at, err := e.freeRun(n)
	if err != nil {
		return 0, 0, err
	}
	efi, boot, grub := at, at+1, at+2
	next := at + 3
	write := func(content []byte) (first uint32, err error) {
		first = next
		k := uint32(e.clustersOf(len(content)))
		padded := make([]byte, int64(k)*size)
		copy(padded, content)
		next += k
		e.chain(first, k)
		return first, e.put(e.v.offset(first), padded)
	}
	folder := func(at, parent uint32, entries []byte) error {
		e.chain(at, 1)
		content := append(e.dots(at, parent), entries...)
		if int64(len(content)) > size {
			return fmt.Errorf("%w in a folder of one cluster", ErrNoRoom)
		}
		return e.put(e.v.offset(at), append(content, make([]byte, size-int64(len(content)))...))
	}
	var inBoot, inGrub []byte
	add := func(to *[]byte, name string, content []byte) error {
		first, err := write(content)
		if err != nil {
			return err
		}
		entry, err := e.newEntry(nil, path.Base(name), archiveSlot, first, uint32(len(content)))
		*to = append(*to, entry...)
		return err
	}
	content := append(bytes.Clone(t.Loader), make([]byte, loader-int64(len(t.Loader)))...)
	if err := errors.Join(add(&inBoot, layout.Loader, content), add(&inBoot, layout.LoaderSpare, content)); err != nil {
		return 0, 0, err
	}
	for i, name := range append(names, "") {
		pad := int64(layout.PaddingAroundState)
		if over := (e.v.offset(next) + pad) % mediaBlock; over != 0 {
			pad += mediaBlock - over
		}
		if err := add(&inGrub, fmt.Sprintf("PAD%d.TXT", i), Padding(int(pad))); err != nil {
			return 0, 0, err
		}
		if name == "" {
			break
		}
		if err := add(&inGrub, name, t.States[name]); err != nil {
			return 0, 0, err
		}
	}
	bootEntry, err := e.newEntry(nil, path.Base(layout.LoaderDir), folderSlot, boot, 0)
	if err != nil {
		return 0, 0, err
	}
	err = errors.Join(folder(efi, 0, bootEntry), folder(boot, efi, inBoot), folder(grub, 0, inGrub))
	if err == nil {
		err = e.flush("data")
	}
	if err == nil {
		err = e.writeTables()
	}
	return efi, grub, err
}

// chain enters n clusters in a row in the table.
func (e *editor) chain(first, n uint32) {
	for i := range n {
		next := first + i + 1
		if i == n-1 {
			next = lastCluster
		}
		e.link(first+i, next)
	}
}

// dots are the first two entries of a folder. A folder in the root has 0 for
// its parent.
func (e *editor) dots(at, parent uint32) (out []byte) {
	for i, first := range []uint32{at, parent} {
		var raw [slotBytes]byte
		copy(raw[:11], []string{".          ", "..         "}[i])
		raw[11] = folderSlot
		e.pointTo(raw[:], first, 0)
		out = append(out, raw[:]...)
	}
	return out
}

// Padding is what stands between the boot loader's state files: text, so that
// nobody takes it for something lost.
func Padding(n int) []byte {
	line := []byte("padding between the boot loader's state files: leave it where it is\n")
	return bytes.Repeat(line, n/len(line)+1)[:n]
}

// IsLoader reports whether data begins as an EFI program does.
func IsLoader(data []byte) bool {
	if len(data) < 64 || data[0] != 'M' || data[1] != 'Z' {
		return false
	}
	at := int64(binary.LittleEndian.Uint32(data[60:]))
	return at > 0 && at+4 <= int64(len(data)) && string(data[at:at+4]) == "PE\x00\x00"
}

// versionLine begins the line of the loader's script that names its version.
const versionLine = "set loader_version="

// LoaderVersion is the version of a loader of ours, which its script hands the
// kernel as psyopsos.loader=; empty of anything else.
func LoaderVersion(data []byte) string {
	if !IsLoader(data) {
		return ""
	}
	_, rest, ok := bytes.Cut(data, []byte(versionLine))
	line, _, end := bytes.Cut(rest[:min(len(rest), 64)], []byte("\n"))
	if !ok || !end || !only(string(line), "._-") {
		return ""
	}
	return string(line)
}
