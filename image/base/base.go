// Package base is what every userland gets on top, whatever it is made of, if
// OpenRC runs it: how root logs in, a login prompt on each console, the psynet,
// what configures the node after its boot (postboot), the judge of each boot,
// the start of a loaded kernel at the end of a shutdown, and the line on the
// login screen that tells what runs. It reads the embedded folder overlay, whose files are ours,
// and gives a tree.Tree.
package base

import (
	"embed"
	"io/fs"
	"path"

	"psyopsOS/image/tree"
)

//go:embed all:overlay
var overlay embed.FS

// services are what is started, by runlevel.
func services() map[string][]string {
	return map[string][]string{
		"boot":     {"psyopsos-root"},
		"default":  {"psyopsos-consoles", "psynet", "postboot", "psyopsos-health"},
		"shutdown": {"psyopsos-kexec"},
	}
}

// Overlay is what is laid over a userland.
func Overlay() (*tree.Tree, error) {
	files, err := fs.Sub(overlay, "overlay")
	if err != nil {
		return nil, err
	}
	t, err := tree.FromFS(files, modes)
	if err != nil {
		return nil, err
	}
	for level, names := range services() {
		for _, name := range names {
			if err := t.Add(path.Join("etc/runlevels", level, name), tree.Symlink("/etc/init.d/"+name)); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// modes are the permissions of the embedded files, which have none of their
// own.
func modes(name string, info fs.FileInfo) fs.FileMode {
	switch dir := path.Dir(name); {
	case info.IsDir(), dir == "etc/init.d", dir == "usr/libexec/psyopsOS":
		return 0o755
	case dir == "etc/psyopsOS/postboot.d" && path.Base(name) != "README":
		return 0o755
	}
	return 0o644
}
