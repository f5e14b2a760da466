package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"

	"psyopsOS/step"
)

// A ModuleTree is what a folder /lib/modules/VERSION says about the modules in
// it. Names are as moduleName has them.
type ModuleTree struct {
	Modules map[string]Module
	Soft    map[string]SoftDep
	Builtin map[string]bool
	Aliases Aliases
}

// A Module is one line of modules.dep.
type Module struct {
	File  string // relative to the folder
	needs string // files, as they stand in the line: few lines are ever asked
}

// Needs lists the modules that must be there before.
func (m Module) Needs() []string {
	names := strings.Fields(m.needs)
	for i, file := range names {
		names[i] = moduleName(file)
	}
	return names
}

// A SoftDep names modules, or aliases of modules, that should be there before
// or after another where they exist.
type SoftDep struct{ Pre, Post []string }

// tableLimit bounds one table of a module tree; the largest seen has 1.3 MB.
const tableLimit = 64 << 20

// ReadModuleTree reads a folder with depmod's text tables. Only modules.dep
// must be there. The aliases are read beside the others: from a modloop the four
// took 60 ms one after another.
func ReadModuleTree(fsys fs.FS) (t ModuleTree, err error) {
	aliases := make(chan error, 1)
	go func() {
		aliases <- step.Guard(func() error { // a panic on a goroutine of its own would end PID 1
			table, err := readTable(fsys, "modules.alias")
			t.Aliases = ParseAliases(table)
			return optional(err)
		})
	}()
	dep, errDep := readTable(fsys, "modules.dep")
	soft, errSoft := readTable(fsys, "modules.softdep")
	builtin, errBuiltin := readTable(fsys, "modules.builtin")
	t.Modules, t.Soft, t.Builtin = ParseDep(dep), ParseSoftDep(soft), ParseBuiltin(builtin)
	err = errors.Join(errDep, optional(errSoft), optional(errBuiltin), <-aliases)
	return t, err
}

// Tables are a ModuleTree that was read somewhere else than where the modules
// are.
type Tables struct {
	tree  ModuleTree
	sizes map[string]int64 // of the files
}

// ReadTables reads a folder like ReadModuleTree.
func ReadTables(fsys fs.FS) (t Tables, err error) {
	if t.sizes, err = tableSizes(fsys); err == nil {
		t.tree, err = ReadModuleTree(fsys)
	}
	return t, err
}

// areOf reports whether the tables in a folder are the same, as far as their
// sizes tell. Which release they are of is verified, if anything is.
func (t Tables) areOf(fsys fs.FS) bool {
	sizes, err := tableSizes(fsys)
	return err == nil && t.sizes != nil && maps.Equal(t.sizes, sizes)
}

func tableSizes(fsys fs.FS) (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, name := range []string{"modules.dep", "modules.alias", "modules.softdep", "modules.builtin"} {
		info, err := fs.Stat(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sizes[name] = info.Size()
	}
	return sizes, nil
}

// optional forgets that a table is not there.
func optional(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func readTable(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() > tableLimit {
		err = fmt.Errorf("%s: %d bytes, more than any such table has", name, info.Size())
	}
	if err != nil {
		return "", err
	}
	table := make([]byte, info.Size())
	_, err = io.ReadFull(f, table)
	return string(table), err
}

// ParseDep reads modules.dep: lines "FILE: FILE...".
func ParseDep(table string) map[string]Module {
	modules := make(map[string]Module, strings.Count(table, "\n"))
	for line := range strings.Lines(table) {
		if file, needs, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && file != "" {
			modules[moduleName(file)] = Module{file, needs}
		}
	}
	return modules
}

// ParseSoftDep reads modules.softdep: lines "softdep MODULE pre: NAME...
// post: NAME...".
func ParseSoftDep(table string) map[string]SoftDep {
	soft := map[string]SoftDep{}
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "softdep" {
			continue
		}
		name := moduleName(words[1])
		dep, to := soft[name], (*[]string)(nil)
		for _, w := range words[2:] {
			switch {
			case w == "pre:":
				to = &dep.Pre
			case w == "post:":
				to = &dep.Post
			case to != nil:
				*to = append(*to, w)
			}
		}
		soft[name] = dep
	}
	return soft
}

// ParseBuiltin reads modules.builtin: a file's name a line.
func ParseBuiltin(table string) map[string]bool {
	builtin := map[string]bool{}
	for file := range strings.FieldsSeq(table) {
		builtin[moduleName(file)] = true
	}
	return builtin
}

// Has reports whether name is a module of this tree or of its kernel.
func (t ModuleTree) Has(name string) bool {
	return t.Modules[name].File != "" || t.Builtin[name]
}

// ForDevice lists the modules of this tree that drive the device with this
// modalias. A blacklisted one is left out here and nowhere else, as modprobe
// does: who asks for it by name, or needs it for another, gets it.
func (t ModuleTree) ForDevice(modalias string, blacklist map[string]bool) []string {
	var names []string
	for _, name := range t.Aliases.Match(modalias) {
		if t.Modules[name].File != "" && !blacklist[name] {
			names = append(names, name)
		}
	}
	return names
}

// Named lists the modules that name stands for: itself, or those that have it
// as an alias, such as fs-ext4.
func (t ModuleTree) Named(name string, blacklist map[string]bool) []string {
	if module := moduleName(name); t.Has(module) {
		return []string{module}
	}
	return t.ForDevice(name, blacklist)
}
