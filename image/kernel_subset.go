package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"psyopsOS/image/tree"
	"psyopsOS/layout"
)

// A moduleIndex is what modules.dep and modules.builtin say: the module's
// file name below lib/modules/KVER → those that must be loaded before it.
type moduleIndex struct {
	depends map[string][]string
	builtin map[string]bool // by module name
}

func (k Kernel) index() (moduleIndex, error) {
	dep, err := fs.ReadFile(k.Modules.FS(), path.Join(k.moduleDir(), "modules.dep"))
	if err != nil {
		return moduleIndex{}, err
	}
	builtin, err := fs.ReadFile(k.Modules.FS(), path.Join(k.moduleDir(), "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return moduleIndex{}, err
	}
	return parseModuleIndex(dep, builtin), nil
}

func parseModuleIndex(dep, builtin []byte) moduleIndex {
	x := moduleIndex{map[string][]string{}, map[string]bool{}}
	for line := range bytes.Lines(dep) {
		if file, depends, ok := strings.Cut(string(line), ":"); ok {
			x.depends[file] = strings.Fields(depends)
		}
	}
	for line := range bytes.Lines(builtin) {
		x.builtin[moduleName(strings.TrimSpace(string(line)))] = true
	}
	return x
}

// moduleName is the name by which the kernel knows a module's file.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

// without is the set of modules that keep accepts and that need none which it
// does not.
func (x moduleIndex) without(keep func(file string) bool) map[string]bool {
	stay := map[string]bool{}
	for file, depends := range x.depends {
		stay[file] = keep(file) && !slices.ContainsFunc(depends, func(d string) bool { return !keep(d) })
	}
	return stay
}

// with is the set of the named modules and of what they need; absent are the
// names that this kernel neither has nor has built in.
func (x moduleIndex) with(names []string) (stay map[string]bool, absent []string) {
	files := map[string]string{}
	for file := range x.depends {
		files[moduleName(file)] = file
	}
	stay = map[string]bool{}
	for _, name := range names {
		file, found := files[moduleName(name)]
		if !found {
			if !x.builtin[moduleName(name)] {
				absent = append(absent, name)
			}
			continue
		}
		stay[file] = true
		for _, d := range x.depends[file] { // modules.dep has the whole chain
			stay[d] = true
		}
	}
	return stay, absent
}

// subset is the kernel's modules without those that keep refuses, indexed
// anew.
func (k Kernel) subset(ctx context.Context, keep func(file string) bool) (*tree.Tree, error) {
	x, err := k.index()
	if err != nil {
		return nil, err
	}
	return k.only(ctx, x.without(keep))
}

func (k Kernel) only(ctx context.Context, stay map[string]bool) (*tree.Tree, error) {
	all, some := k.Modules.Sub(k.moduleDir()), tree.New()
	for name, n := range all.All() {
		if stay[name] || isModuleList(name) {
			if err := some.Add(name, n); err != nil {
				return nil, err
			}
		}
	}
	return k.depmod(ctx, some)
}

// InitramfsModules is what the initramfs gets of the kernel's modules: those
// named, what they need, and indexes of just these. absent lists the names
// that this kernel does not have at all: a cloud kernel has no USB.
func InitramfsModules(ctx context.Context, k Kernel, names []string) (_ *tree.Tree, absent []string, err error) {
	x, err := k.index()
	if err != nil {
		return nil, nil, fmt.Errorf("initramfs modules: %w", err)
	}
	stay, absent := x.with(names)
	t, err := k.only(ctx, stay)
	if err != nil {
		return nil, nil, fmt.Errorf("initramfs modules: %w", err)
	}
	t.RemoveFunc(func(name string, _ *tree.Node) bool { return unusedTable(path.Base(name)) })
	return t, absent, nil
}

// AddModloopTables puts copies of the tables of all modules where init reads
// them before it has the modloop. A modloop with other tables is not harmed:
// init reads those then.
func AddModloopTables(t *tree.Tree, k Kernel) error {
	all := k.Modules.Sub(k.moduleDir())
	for name, n := range all.All() {
		if strings.HasPrefix(name, "modules.") && !unusedTable(name) {
			if err := t.Add(path.Join(k.moduleDir(), layout.ModloopTables, name), n); err != nil {
				return err
			}
		}
	}
	return nil
}

// unusedTable names depmod's files that init does not read.
func unusedTable(base string) bool {
	switch base {
	case "modules.order", "modules.symbols", "modules.devname", "modules.builtin.modinfo":
		return true
	}
	return strings.HasPrefix(base, "modules.") && strings.HasSuffix(base, ".bin")
}

// ParseModuleList reads a list of module names, one a line; what follows a #
// is a comment. A name that comes twice is kept once.
func ParseModuleList(text []byte) ([]string, error) {
	names := map[string]bool{}
	for line := range bytes.Lines(text) {
		before, _, _ := bytes.Cut(line, []byte("#"))
		words := strings.Fields(string(before))
		if len(words) == 0 {
			continue
		}
		if len(words) > 1 || strings.ContainsAny(words[0], "/.") {
			return nil, fmt.Errorf("module list: %q is not one module name", strings.TrimSpace(string(before)))
		}
		names[words[0]] = true
	}
	return slices.Sorted(maps.Keys(names)), nil
}
