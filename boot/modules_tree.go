package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// A ModuleTree is what a folder /lib/modules/VERSION says about the modules in
// it. Names are as moduleName has them.
type ModuleTree struct {
	Files   map[string]string   // the module's file, relative to the folder
	Needs   map[string][]string // modules that must be there before
	Soft    map[string]SoftDep
	Builtin map[string]bool
	Aliases Aliases
}

// A SoftDep names modules, or aliases of modules, that should be there before
// or after another where they exist.
type SoftDep struct{ Pre, Post []string }

// ReadModuleTree reads a folder with depmod's text tables. Only modules.dep
// must be there.
func ReadModuleTree(fsys fs.FS) (ModuleTree, error) {
	t := ModuleTree{Builtin: map[string]bool{}, Soft: map[string]SoftDep{}}
	var errs []error
	read := func(name string, optional bool, parse func(io.Reader) error) {
		f, err := fsys.Open(name)
		if optional && errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			err = parse(f)
			f.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", name, err))
		}
	}
	read("modules.dep", false, func(r io.Reader) (err error) { t.Files, t.Needs, err = ParseDep(r); return })
	read("modules.alias", true, func(r io.Reader) (err error) { t.Aliases, err = ParseAliases(r); return })
	read("modules.softdep", true, func(r io.Reader) (err error) { t.Soft, err = ParseSoftDep(r); return })
	read("modules.builtin", true, func(r io.Reader) (err error) { t.Builtin, err = ParseBuiltin(r); return })
	return t, errors.Join(errs...)
}

// ParseDep reads modules.dep: lines "FILE: FILE...".
func ParseDep(r io.Reader) (files map[string]string, needs map[string][]string, err error) {
	text, err := readTable(r)
	files, needs = map[string]string{}, map[string][]string{}
	for line := range strings.Lines(text) {
		file, deps, ok := strings.Cut(line, ":")
		file = strings.TrimSpace(file)
		if !ok || file == "" {
			continue
		}
		name := moduleName(file)
		files[name] = file
		for dep := range strings.FieldsSeq(deps) {
			needs[name] = append(needs[name], moduleName(dep))
		}
	}
	return files, needs, err
}

// ParseSoftDep reads modules.softdep: lines "softdep MODULE pre: NAME...
// post: NAME...".
func ParseSoftDep(r io.Reader) (map[string]SoftDep, error) {
	text, err := readTable(r)
	soft := map[string]SoftDep{}
	for line := range strings.Lines(text) {
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
	return soft, err
}

// ParseBuiltin reads modules.builtin: a file's name a line.
func ParseBuiltin(r io.Reader) (map[string]bool, error) {
	text, err := readTable(r)
	builtin := map[string]bool{}
	for file := range strings.FieldsSeq(text) {
		builtin[moduleName(file)] = true
	}
	return builtin, err
}

// Has reports whether name is a module of this tree or of its kernel.
func (t ModuleTree) Has(name string) bool {
	return t.Files[name] != "" || t.Builtin[name]
}

// ForDevice lists the modules of this tree that drive the device with this
// modalias. A blacklisted one is left out here and nowhere else, as modprobe
// does: who asks for it by name, or needs it for another, gets it.
func (t ModuleTree) ForDevice(modalias string, blacklist map[string]bool) []string {
	var names []string
	for _, name := range t.Aliases.Match(modalias) {
		if t.Files[name] != "" && !blacklist[name] {
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

// LoadPlan lists the modules to insert, in order, so that those wanted are
// there: what a module needs before it, what is loaded or built in not again.
func (t ModuleTree) LoadPlan(want []string, loaded, blacklist map[string]bool) []string {
	p := planning{tree: t, blacklist: blacklist, done: map[string]bool{}}
	for name := range loaded {
		p.done[name] = true
	}
	p.visit(want...)
	return p.order
}

type planning struct {
	tree      ModuleTree
	blacklist map[string]bool
	done      map[string]bool // also those begun: a circle ends there
	order     []string
}

func (p *planning) visit(names ...string) {
	for _, name := range names {
		if p.done[name] || p.tree.Files[name] == "" || p.tree.Builtin[name] {
			continue
		}
		p.done[name] = true
		p.visitSoft(p.tree.Soft[name].Pre)
		p.visit(p.tree.Needs[name]...)
		p.order = append(p.order, name)
		p.visitSoft(p.tree.Soft[name].Post)
	}
}

func (p *planning) visitSoft(names []string) {
	for _, name := range names {
		p.visit(p.tree.Named(name, p.blacklist)...)
	}
}
