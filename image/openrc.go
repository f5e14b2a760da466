package image

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// HasOpenRC reports whether OpenRC runs the services of a userland: what
// psyopsOS brings for every node is written for it.
func HasOpenRC(t *tree.Tree) bool { return hasFile(t, "sbin/openrc") || hasFile(t, "usr/sbin/openrc") }

func hasFile(t *tree.Tree, name string) bool {
	info, err := fs.Stat(t.FS(), name)
	return err == nil && info.Mode().IsRegular()
}

// CheckInit refuses a userland without the program that becomes PID 1: name,
// or where that is empty /sbin/init.
func CheckInit(t *tree.Tree, name string) error {
	if name == "" {
		name = "/sbin/init"
	}
	if hasFile(t, strings.TrimPrefix(path.Clean(name), "/")) {
		return nil
	}
	hint := "add a package that has one, or bring one in an overlay"
	for _, other := range []string{"lib/systemd/systemd", "usr/lib/systemd/systemd", "sbin/openrc-init", "sbin/runit-init", "bin/s6-svscan", "bin/busybox", "bin/sh"} {
		if hasFile(t, other) {
			hint = fmt.Sprintf("name another program: --append init=/%s", other)
			break
		}
	}
	return step.WithHint(fmt.Errorf("the userland has no %s: nothing could be started in it", name), "%s", hint)
}

// FromContainer takes out the files by which a container runtime says that
// there is one: OpenRC would leave out half of its services. It says which.
func FromContainer(t *tree.Tree) (gone []string) {
	for _, name := range []string{".dockerenv", "run/.containerenv"} {
		if t.Remove(name) {
			gone = append(gone, name)
		}
	}
	return gone
}
