package shell

import (
	"io/fs"
	"slices"
	"strings"
)

// Consoles lists the kernel's active consoles by their names in /dev, in the
// kernel's order: the last one is /dev/console. tty0 stands for the screen in
// the foreground; its place is taken by that screen's own name, because a
// person may switch screens while the shell runs.
func Consoles(sysfs fs.FS) []string {
	var names []string
	for _, name := range words(sysfs, "class/tty/console/active") {
		if name == "tty0" {
			if screen := words(sysfs, "class/tty/tty0/active"); len(screen) == 1 {
				name = screen[0]
			}
		}
		// A name becomes a path below /dev.
		if !strings.Contains(name, "/") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func words(sysfs fs.FS, name string) []string {
	content, err := fs.ReadFile(sysfs, name)
	if err != nil {
		return nil
	}
	return strings.Fields(string(content))
}
