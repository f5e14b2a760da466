package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/image/tree"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// A Kernel is a kernel with what belongs to it.
type Kernel struct {
	Version   string     // as uname -r tells it
	Image     *tree.Node // what the boot loader loads
	SystemMap *tree.Node
	Config    *tree.Node
	Modules   *tree.Tree // lib/modules/VERSION/…, uncompressed, with depmod's data
}

// ModulesArchive is the file beside the kernel that holds Kernel.Modules.
const ModulesArchive = "modules.tar"

// ReadKernel finds the one kernel in t, which is laid out as packages of
// Debian, Alpine or Fedora are, or is a folder with the files kernel,
// System.map and config beside lib/modules.
func ReadKernel(ctx context.Context, t *tree.Tree) (Kernel, error) {
	versions, dir := kernelVersions(t)
	if len(versions) != 1 {
		return Kernel{}, step.WithHint(fmt.Errorf("kernel: %d folders in lib/modules and not one: %s", len(versions), strings.Join(versions, " ")),
			"name a package or folder that holds one kernel with its modules")
	}
	k := Kernel{Version: versions[0]}
	flavour := k.Version[strings.LastIndex(k.Version, "-")+1:] // Alpine's 6.6.36-0-lts is boot/vmlinuz-lts
	for _, part := range []struct {
		node  **tree.Node
		names []string
	}{
		{&k.Image, []string{"boot/vmlinuz-" + k.Version, path.Join(dir, k.Version, "vmlinuz"), layout.Kernel, "boot/vmlinuz-" + flavour}},
		{&k.SystemMap, []string{"boot/System.map-" + k.Version, path.Join(dir, k.Version, "System.map"), layout.SystemMap, "boot/System.map-" + flavour}},
		{&k.Config, []string{"boot/config-" + k.Version, path.Join(dir, k.Version, "config"), layout.KernelConfig, "boot/config-" + flavour}},
	} {
		if *part.node = firstFile(t, part.names); *part.node == nil {
			return Kernel{}, fmt.Errorf("kernel %s: none of %s is there", k.Version, strings.Join(part.names, ", "))
		}
	}
	modules, err := plainModules(t.Sub(path.Join(dir, k.Version)))
	if err == nil {
		k.Modules, err = k.depmod(ctx, modules)
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("modules of kernel %s: %w", k.Version, err)
	}
	return k, nil
}

// kernelVersions lists the folders of modules, and the folder they are in.
func kernelVersions(t *tree.Tree) (versions []string, dir string) {
	for _, dir = range []string{"usr/lib/modules", "lib/modules"} {
		for name, n := range t.All() {
			if n.Mode.IsDir() && path.Dir(name) == dir {
				versions = append(versions, path.Base(name))
			}
		}
		if len(versions) > 0 {
			break
		}
	}
	return versions, dir
}

func firstFile(t *tree.Tree, names []string) *tree.Node {
	for _, name := range names {
		if n, ok := t.Get(name); ok && n.Mode.IsRegular() {
			return n
		}
	}
	return nil
}

// plainModules uncompresses modules: the squashfs that they go into
// compresses them better together, and any modprobe loads them then. Links to
// the build tree and old depmod data stay out.
func plainModules(from *tree.Tree) (*tree.Tree, error) {
	t := tree.New()
	for name, n := range from.All() {
		base := path.Base(name)
		stem, compressed := compressedModule(base)
		switch {
		case compressed:
			content, err := uncompressModule(base, n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if err := t.Add(path.Join(path.Dir(name), stem), tree.File(0o644, content)); err != nil {
				return nil, err
			}
		case n.Mode.IsRegular() && (strings.HasSuffix(base, ".ko") || isModuleList(name)):
			if err := t.Add(name, n.With(0o644, 0, 0)); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// isModuleList names the files of the kernel's build that depmod reads.
func isModuleList(name string) bool {
	return name == "modules.order" || name == "modules.builtin" || name == "modules.builtin.modinfo"
}

func compressedModule(base string) (stem string, compressed bool) {
	for _, ending := range []string{".xz", ".zst", ".gz"} {
		if stem, ok := strings.CutSuffix(base, ending); ok && strings.HasSuffix(stem, ".ko") {
			return stem, true
		}
	}
	return base, false
}

// Write puts the kernel's files into dir under the names of a release, and
// the modules beside them as ModulesArchive.
func (k Kernel) Write(dir string) error {
	for name, n := range map[string]*tree.Node{layout.Kernel: k.Image, layout.SystemMap: k.SystemMap, layout.KernelConfig: k.Config,
		layout.KernelVersion: tree.File(0o644, []byte(k.Version+"\n"))} {
		if err := replaceFile(filepath.Join(dir, name), func(w io.Writer) error { return copyNode(w, n) }); err != nil {
			return err
		}
	}
	return replaceFile(filepath.Join(dir, ModulesArchive), func(w io.Writer) error {
		return k.Modules.WriteTar(w, time.Unix(0, 0))
	})
}

// OpenKernel reads what Write wrote.
func OpenKernel(dir string) (Kernel, error) {
	version, err := os.ReadFile(filepath.Join(dir, layout.KernelVersion))
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Version: strings.TrimSpace(string(version))}
	if k.Modules, err = tree.ReadTarFile(filepath.Join(dir, ModulesArchive)); err != nil {
		return Kernel{}, err
	}
	for name, node := range map[string]**tree.Node{layout.Kernel: &k.Image, layout.SystemMap: &k.SystemMap, layout.KernelConfig: &k.Config} {
		if *node, err = tree.FileOf(0o644, filepath.Join(dir, name)); err != nil {
			return Kernel{}, err
		}
	}
	return k, nil
}

func copyNode(w io.Writer, n *tree.Node) error {
	r, err := n.Open()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}
