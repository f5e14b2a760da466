package alpine

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"psyopsOS/image/tree"
)

const databaseDir = "lib/apk/db"

// database writes what apk in the running system wants to find, as if it had
// installed the packages itself.
func (i *installation) database(o Options) error {
	text, err := i.installedText()
	if err != nil {
		return err
	}
	scripts, triggers, err := i.scripts()
	if err != nil {
		return err
	}
	files := map[string][]byte{
		databaseDir + "/installed":   text,
		databaseDir + "/scripts.tar": scripts,
		databaseDir + "/triggers":    triggers,
		databaseDir + "/lock":        nil,
		"etc/apk/world":              RenderWorld(o.World),
		"etc/apk/arch":               []byte(o.Arch + "\n"),
	}
	repositories := ""
	for _, r := range o.Repositories {
		if isWeb(r.Address) { // a folder of the build machine is no use to a node
			repositories += strings.TrimSpace(strings.Repeat("@"+r.Tag+" ", min(len(r.Tag), 1))+r.Address) + "\n"
		}
		for name, key := range r.Keys {
			if files["etc/apk/keys/"+name], err = RenderKey(key); err != nil {
				return err
			}
		}
	}
	files["etc/apk/repositories"] = []byte(repositories)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := i.tree.AddFile(name, 0o644, string(files[name])); err != nil {
			return err
		}
	}
	return nil
}

func (i *installation) installedText() ([]byte, error) {
	var b bytes.Buffer
	parts := slices.Clone(i.parts)
	slices.SortFunc(parts, func(x, y *installed) int { return strings.Compare(x.Name, y.Name) })
	for _, part := range parts {
		part.render(&b)
		if err := i.renderFiles(&b, part); err != nil {
			return nil, fmt.Errorf("package %s: %w", part.Package, err)
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// renderFiles lists a package's folders (F, with M where owner and mode are
// not the usual ones), and below each its files (R, a, and the checksum Z).
func (i *installation) renderFiles(b *bytes.Buffer, part *installed) error {
	in := map[string][]string{}
	for name, n := range part.content.All() {
		if dir := path.Dir(name); name != "." && !n.Mode.IsDir() {
			in[dir] = append(in[dir], path.Base(name))
		}
	}
	for dir, n := range part.content.All() {
		if !n.Mode.IsDir() || dir == "." && len(in["."]) == 0 {
			continue
		}
		written := dir
		if dir == "." {
			written = "" // the root has no name
		}
		fmt.Fprintf(b, "F:%s\n", written)
		if acl := access(part.node(dir)); acl != "0:0:755" {
			fmt.Fprintf(b, "M:%s\n", acl)
		}
		for _, base := range in[dir] {
			if err := i.renderFile(b, part, path.Join(dir, base)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *installation) renderFile(b *bytes.Buffer, part *installed, name string) error {
	dir, err := i.tree.Follow(path.Dir(name))
	if err != nil || i.owns[path.Join(dir, path.Base(name))].Name != part.Name {
		return err // another package has replaced it
	}
	fmt.Fprintf(b, "R:%s\n", path.Base(name))
	if acl := access(part.node(name)); acl != "0:0:644" {
		fmt.Fprintf(b, "a:%s\n", acl)
	}
	sum, err := checksum(part.node(name))
	fmt.Fprintf(b, "Z:%s\n", sum)
	return err
}

// node is the package's file as it was placed.
func (p *installed) node(name string) *tree.Node {
	if n := p.placed[name]; n != nil {
		return n
	}
	n, _ := p.content.Get(name) // the root, which is placed by nobody
	return n
}

// access is owner, group and mode as the database has them.
func access(n *tree.Node) string {
	return fmt.Sprintf("%d:%d:%o", n.UID, n.GID, tree.UnixMode(n.Mode))
}

func checksum(n *tree.Node) (c Checksum, err error) {
	h := sha1.New()
	if n.Mode.Type() == fs.ModeSymlink {
		_, err = io.WriteString(h, n.Target)
		return Checksum(h.Sum(nil)), err
	}
	r, err := n.Open()
	if err != nil {
		return c, err
	}
	defer r.Close()
	_, err = io.Copy(h, r)
	return Checksum(h.Sum(nil)), err
}

// scripts packs the packages' scripts as apk keeps them, and lists the folders
// that trigger some of them.
func (i *installation) scripts() (packed, triggers []byte, err error) {
	var b, lines bytes.Buffer
	w := tar.NewWriter(&b)
	for _, part := range i.parts {
		for _, name := range slices.Sorted(maps.Keys(part.Scripts)) {
			h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%s.%s.%s", part.Package, part.Checksum, name), Mode: 0o755, Size: int64(len(part.Scripts[name]))}
			if err := w.WriteHeader(h); err != nil {
				return nil, nil, err
			}
			if _, err := w.Write(part.Scripts[name]); err != nil {
				return nil, nil, err
			}
		}
		if on := part.Info["triggers"]; len(on) > 0 {
			fmt.Fprintf(&lines, "%s %s\n", part.Checksum, strings.Join(on, " "))
		}
	}
	err = w.Close()
	return b.Bytes(), lines.Bytes(), err
}
