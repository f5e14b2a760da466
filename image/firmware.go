package image

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"psyopsOS/image/tree"
)

// firmwareField begins what a module says of a file that it will ask for.
const firmwareField = "firmware="

// WantedFirmware lists the files that the kernel's modules, and what is built
// into it, say that they may ask for, below /lib/firmware. Some are patterns.
func WantedFirmware(k Kernel) ([]string, error) {
	wanted := map[string]bool{}
	for name, n := range k.Modules.All() {
		var info []byte
		var err error
		switch {
		case strings.HasSuffix(name, ".ko"):
			info, err = moduleInfo(n)
		case path.Base(name) == "modules.builtin.modinfo":
			info, err = n.Content()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for field := range bytes.SplitSeq(info, []byte{0}) {
			if want, ok := strings.CutPrefix(afterModule(string(field)), firmwareField); ok && fs.ValidPath(want) {
				wanted[want] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(wanted)), nil
}

// afterModule takes the module's name from a field of modules.builtin.modinfo,
// where it is MODULE.firmware=FILE.
func afterModule(field string) string {
	if at := strings.Index(field, "."+firmwareField); at >= 0 && !strings.Contains(field[:at], "=") {
		return field[at+1:]
	}
	return field
}

// moduleInfo is what `modinfo` reads: strings with a zero behind each.
func moduleInfo(n *tree.Node) ([]byte, error) {
	content, err := n.Content()
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, nil
	}
	return section.Data()
}

// firmwareDirs are where distributions' packages have firmware.
func firmwareDirs() []string { return []string{"lib/firmware", "usr/lib/firmware"} }

// Firmware picks out of packages or folders what the kernel's modules ask
// for, laid out as below /lib/firmware. A folder without lib/firmware is one
// of firmware itself. Files are uncompressed, as modules are: not every kernel
// reads them otherwise. Of two trees the first has its way. missing are the
// wishes that none of them meets; most name hardware that nobody has.
func Firmware(k Kernel, from ...*tree.Tree) (picked *tree.Tree, missing []string, err error) {
	wanted, err := WantedFirmware(k)
	if err != nil {
		return nil, nil, fmt.Errorf("firmware of kernel %s: %w", k.Version, err)
	}
	picked = tree.New()
	var stores []firmwareStore
	for _, t := range from {
		stores = append(stores, newFirmwareStore(t))
	}
	for _, want := range wanted {
		found := false
		for _, s := range stores {
			for _, name := range s.matching(want) {
				found = true
				if err := s.copyTo(picked, name); err != nil {
					return nil, nil, fmt.Errorf("firmware %s: %w", name, err)
				}
			}
		}
		if !found {
			missing = append(missing, want)
		}
	}
	return picked, missing, nil
}

// A firmwareStore finds files by their names without an ending of compression.
type firmwareStore struct {
	files  *tree.Tree
	actual map[string]string // name as modules know it → name in files
	names  []string
}

func newFirmwareStore(t *tree.Tree) firmwareStore {
	s := firmwareStore{files: t, actual: map[string]string{}}
	for _, dir := range firmwareDirs() {
		if t.Has(dir) {
			s.files = t.Sub(dir)
			break
		}
	}
	for name, n := range s.files.All() {
		if !n.Mode.IsDir() {
			s.actual[plainFirmware(name)] = name
		}
	}
	s.names = slices.Sorted(maps.Keys(s.actual))
	return s
}

func plainFirmware(name string) string {
	for _, ending := range []string{".xz", ".zst", ".gz"} {
		if stem, ok := strings.CutSuffix(name, ending); ok {
			return stem
		}
	}
	return name
}

func (s firmwareStore) matching(want string) []string {
	if _, there := s.actual[want]; there {
		return []string{want}
	}
	if !strings.ContainsAny(want, "*?[") {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.names), func(name string) bool {
		matches, err := path.Match(want, name)
		return err != nil || !matches
	})
}

// copyTo adds the file; a link becomes the file that it leads to, which the
// squashfs stores once.
func (s firmwareStore) copyTo(to *tree.Tree, name string) error {
	if to.Has(name) {
		return nil
	}
	at, err := s.files.Follow(s.actual[name])
	if err != nil {
		return err
	}
	n, ok := s.files.Get(at)
	if !ok {
		// A link of a package to a file under its plain name.
		n, ok = s.files.Get(s.actual[plainFirmware(at)])
	}
	if !ok || !n.Mode.IsRegular() {
		return fmt.Errorf("%s leads to %s, which is no file of the package", s.actual[name], at)
	}
	if plainFirmware(at) == at {
		return to.Add(name, n.With(0o644, 0, 0))
	}
	content, err := uncompressModule(at, n)
	if err != nil {
		return err
	}
	return to.Add(name, tree.File(0o644, content))
}
