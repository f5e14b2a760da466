package debian

import (
	"bytes"
	"debug/elf"
	"fmt"
	"maps"
	"path"
	"slices"

	"psyopsOS/image/tree"
)

// MissingLibraries lists what ELF files of t ask the dynamic loader for and t
// does not have, as "usr/sbin/sshd needs libz.so.1". Only names count: which
// folder the loader looks into is not modelled.
func MissingLibraries(t *tree.Tree) ([]string, error) {
	has, needs := map[string]bool{}, map[string][]string{}
	for name, n := range t.All() {
		has[path.Base(name)] = true
		if !n.Mode.IsRegular() {
			continue
		}
		libraries, err := neededBy(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		needs[name] = libraries
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		for _, library := range needs[name] {
			if !has[library] {
				missing = append(missing, fmt.Sprintf("%s needs %s", name, library))
			}
		}
	}
	return missing, nil
}

func neededBy(n *tree.Node) ([]string, error) {
	if n.Size < 64 || n.Size > 256<<20 {
		return nil, nil
	}
	content, err := n.Content()
	if err != nil || !bytes.HasPrefix(content, []byte(elf.ELFMAG)) {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return f.ImportedLibraries()
}
