package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/image"
	"psyopsOS/image/sbom"
	"psyopsOS/image/stage"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// replaceHelp is the text of --replace, which is a flag and no setting: one
// that somebody forgot in psyops.toml would be in every release from then on.
const replaceHelp = "put a file into the release in the place of one of its own, `MEMBER=FILE`: squashfs, initramfs, modloop or kernel; may be given more than once"

const replaceAbout = `
--replace is for rehearsing, on a test machine, what a node does with a release
that fails, and for a part that somebody else has built. Nothing is built for
the part's place. What the file holds is not known: the release and its bill of
materials call a userland or a kernel from elsewhere "replaced". It is signed
as every release is: give it a version (SOURCE_DATE_EPOCH=$(date +%s)) and a
deaddrop (--dir) of its own, so that no other node gets it.`

// replacedName is what a release calls a userland or a kernel from elsewhere.
const replacedName = "replaced"

// replaceable are the members that may come from elsewhere.
func replaceable() []string {
	return []string{layout.Squashfs, layout.Initramfs, layout.Modloop, layout.Kernel}
}

// takeReplacements reads MEMBER=FILE.
func takeReplacements(words []string) (map[string]string, error) {
	files := map[string]string{}
	for _, text := range words {
		member, file, found := strings.Cut(text, "=")
		if !found || file == "" {
			return nil, usagef("--replace %q: want MEMBER=FILE, e.g. squashfs=other.squashfs", text)
		}
		if err := oneOf("replace", member, replaceable()...); err != nil {
			return nil, err
		}
		if files[member] != "" {
			return nil, usagef("--replace %s: it has been replaced by %s already", text, files[member])
		}
		info, err := os.Stat(file)
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is no regular file", file)
		}
		if err != nil {
			return nil, step.WithHint(fmt.Errorf("--replace %s: %w", text, err), "what stands behind the = is a file's path, from the working folder")
		}
		if files[member], err = filepath.Abs(file); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// own says whether the build makes a member of the release itself.
func (p project) own(member string) bool { return p.replaced[member] == "" }

// maker is the stage that makes a member of the release.
func (p project) maker(member string) string {
	switch member {
	case layout.Initramfs:
		return p.named(initrdStage)
	case layout.Squashfs:
		return p.named(squashStage)
	}
	return p.named(kernelStage)
}

// member is the file that becomes a member of the release; path is where a
// stage's files are.
func (p project) member(path func(stage string, elem ...string) string, name string) string {
	if p.own(name) {
		return path(p.maker(name), name)
	}
	return p.replaced[name]
}

// besides are the members that a build makes beside one of its own: they tell
// of that one, and of no other.
func besides(member string) []string {
	switch member {
	case layout.Squashfs:
		return []string{layout.UserlandVersion}
	case layout.Kernel:
		return []string{layout.KernelVersion, layout.SystemMap, layout.KernelConfig}
	}
	return nil
}

// memberInputs are what the release's members are made of.
func (p project) memberInputs() (inputs []stage.Input) {
	for _, name := range replaceable() {
		if p.own(name) {
			inputs = append(inputs, stage.From(p.maker(name), append(besides(name), name)...))
		} else {
			inputs = append(inputs, stage.File(p.replaced[name]), stage.Value("replaced "+name, p.replaced[name]))
		}
	}
	if p.own(layout.Squashfs) {
		inputs = append(inputs, stage.From(p.named(squashStage), image.PartsFile))
	}
	return inputs
}

// members are the files of the release, with the names of kernel and userland.
// What tells of a member from elsewhere is written to the stage's folder.
func (p project) members(w *stage.Work) (files map[string]string, kernel, userland string, err error) {
	files = map[string]string{}
	for _, name := range replaceable() {
		files[name] = p.member(w.Path, name)
		if !p.own(name) {
			w.Note("%s is %s", name, files[name])
			continue
		}
		for _, beside := range besides(name) {
			files[beside] = w.Path(p.maker(name), beside)
		}
	}
	for member, version := range map[string]string{layout.Squashfs: layout.UserlandVersion, layout.Kernel: layout.KernelVersion} {
		if !p.own(member) {
			files[version] = filepath.Join(w.Dir, version)
			if err := os.WriteFile(files[version], []byte(replacedName+"\n"), 0o644); err != nil {
				return nil, "", "", err
			}
		}
	}
	version, err := os.ReadFile(files[layout.KernelVersion])
	if err != nil {
		return nil, "", "", err
	}
	parts, err := p.userlandParts(w)
	return files, string(bytes.TrimSpace(version)), parts.Name, err
}

// userlandParts are those of the squashfs.
func (p project) userlandParts(w *stage.Work) (image.Parts, error) {
	if !p.own(layout.Squashfs) {
		return image.Parts{Name: replacedName}, nil
	}
	return image.ReadParts(w.Path(p.named(squashStage), image.PartsFile))
}

// kernelParts are those of kernel and modloop, of which one may be from
// elsewhere.
func (p project) kernelParts(w *stage.Work) (parts image.Parts, err error) {
	if p.ownKernel() {
		parts, err = image.ReadParts(w.Path(p.named(kernelStage), image.PartsFile))
	}
	if !p.own(layout.Kernel) {
		parts.Name = replacedName
	}
	return parts, err
}

// ownKernel says whether anything in the release is of the kernel's packages.
func (p project) ownKernel() bool {
	return p.own(layout.Kernel) || p.own(layout.Modloop) || p.own(layout.Initramfs)
}

// ownInit says whether our init is in the release, by one of its names.
func (p project) ownInit() bool {
	return p.own(layout.Initramfs) || p.own(layout.Squashfs)
}

// replacedFiles are those from elsewhere, as the bill of materials has them.
func (p project) replacedFiles() (files []sbom.File, err error) {
	for _, name := range slices.Sorted(maps.Keys(p.replaced)) {
		sum, err := fileSHA256(p.replaced[name])
		if err != nil {
			return nil, err
		}
		files = append(files, sbom.File{Name: name, SHA256: sum})
	}
	return files, nil
}
