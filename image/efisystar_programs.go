package image

import (
	"io/fs"
	"path/filepath"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/release"
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
	m := release.ESPManifest{ExtraPrograms: map[string]string{}}
	files := []disk.File{{Path: layout.Manifest}}
	for _, p := range programs {
		m.ExtraPrograms["/"+p.Name] = p.Title
		files = append(files, disk.File{Path: p.Name, Source: p.Source})
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	files[0].Data = m.JSON()
	return files, nil
}
