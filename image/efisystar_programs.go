package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

// An EFIProgram is an extra program on the ESP, with an entry in the menu.
type EFIProgram struct {
	Name   string // in the root of the ESP: "memtest64.efi"
	Title  string // in the menu
	Source string // on the build machine
}

// knownPrograms are the extra programs that distributions package, under all
// the names that they give them.
func knownPrograms() []struct {
	EFIProgram
	paths []string
} {
	return []struct {
		EFIProgram
		paths []string
	}{
		{EFIProgram{Name: "memtest64.efi", Title: "Memtest86+ EFI (64-bit)"}, []string{
			"boot/memtest86+x64.efi",      // Debian
			"boot/memtest86+/memtest.efi", // Arch
			"usr/lib/memtest86+/memtest.efi",
			"usr/share/memtest86+/memtest.x64.efi",
			"usr/share/memtest86+/memtest64.efi",
			"usr/share/memtest86+/memtest86+x64.efi",
		}},
		{EFIProgram{Name: "tcshell.efi", Title: "TianoCore EFI shell"}, []string{
			"usr/share/efi-shell-x64/shellx64.efi", // Debian
			"usr/share/edk2-shell/x64/Shell.efi",   // Arch
			"usr/share/edk2/ovmf/Shell.efi",        // Fedora
			"usr/share/OVMF/Shell.efi",
		}},
	}
}

// EFIPrograms lists the known extra programs that the build machine has. root
// is the file system of the machine, whose path is rootPath.
func EFIPrograms(root fs.FS, rootPath string) []EFIProgram {
	var found []EFIProgram
	for _, known := range knownPrograms() {
		for _, p := range known.paths {
			if info, err := fs.Stat(root, p); err == nil && info.Mode().IsRegular() {
				program := known.EFIProgram
				program.Source = filepath.Join(rootPath, p)
				found = append(found, program)
				break
			}
		}
	}
	return found
}

// ProgramFiles lists what the programs put on the ESP: manifest.json first,
// then themselves.
func ProgramFiles(programs []EFIProgram) ([]disk.File, error) {
	m := ESPManifest{ExtraPrograms: map[string]string{}}
	files := []disk.File{{Path: layout.Manifest}}
	for _, p := range programs {
		m.ExtraPrograms["/"+p.Name] = p.Title
		files = append(files, disk.File{Path: p.Name, Source: p.Source})
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	files[0].Data = m.JSON()
	return files, nil
}

// An ESPManifest is /manifest.json of the ESP: its extra programs' paths and
// titles.
type ESPManifest struct {
	ExtraPrograms map[string]string
}

type espManifestJSON struct {
	Version       int               `json:"version"`
	ExtraPrograms map[string]string `json:"extra_programs"`
}

// maxESPManifest bounds what is read as an ESP's manifest.
const maxESPManifest = 64 << 10

// JSON renders the manifest in one line, programs sorted.
func (m ESPManifest) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	programs := m.ExtraPrograms
	if programs == nil {
		programs = map[string]string{}
	}
	if err := e.Encode(espManifestJSON{1, programs}); err != nil {
		// No value of these field types can fail to encode.
		panic(fmt.Sprintf("encode an ESP manifest: %v", err))
	}
	return b.Bytes()
}

// ParseESPManifest reads a manifest; ours, or the first psyopsOS's.
func ParseESPManifest(text []byte) (ESPManifest, error) {
	var j espManifestJSON
	if len(text) > maxESPManifest {
		return ESPManifest{}, fmt.Errorf("ESP manifest: %d bytes, at most %d", len(text), maxESPManifest)
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return ESPManifest{}, fmt.Errorf("ESP manifest: %w", err)
	}
	if j.Version != 1 {
		return ESPManifest{}, fmt.Errorf("ESP manifest: version %d of the format, want 1", j.Version)
	}
	if j.ExtraPrograms == nil {
		j.ExtraPrograms = map[string]string{}
	}
	m := ESPManifest{j.ExtraPrograms}
	return m, m.check()
}

// check wants paths and titles that GRUB's menu can show as they are.
func (m ESPManifest) check() error {
	for name, title := range m.ExtraPrograms {
		rel, ok := strings.CutPrefix(name, "/")
		if !ok || !fs.ValidPath(rel) || rel == "." || strings.Trim(path.Clean(rel), espName) != "" {
			return fmt.Errorf("ESP manifest: %q is no path of a program", name)
		}
		if title == "" || len(title) > 64 || strings.ContainsFunc(title, func(c rune) bool { return c < ' ' || c > '~' || strings.ContainsRune(`"'$\{}`, c) }) {
			return fmt.Errorf("ESP manifest: %s: title %q is empty, too long, or holds a character that GRUB would interpret", name, title)
		}
	}
	return nil
}

const espName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/"
