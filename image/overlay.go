package image

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// Overlay is a folder of a user's, laid over a userland. All is root's. A file
// that replaces one of the userland's gets that one's owner and mode, since
// neither git nor a umask keeps them; another one is readable by all, unless
// it lies in /root or a folder .ssh.
func Overlay(folder fs.FS, userland *tree.Tree) (*tree.Tree, error) {
	files, err := tree.FromFS(folder, overlayMode)
	if err != nil {
		return nil, err
	}
	over := tree.New()
	for name, n := range files.All() {
		if name == "." {
			continue
		}
		dir, err := userland.Follow(path.Dir(name))
		if err != nil {
			return nil, err
		}
		if old, there := userland.Get(path.Join(dir, path.Base(name))); there && old.Mode.Type() == n.Mode.Type() && old.Mode.Type() != fs.ModeSymlink {
			n = n.With(old.Mode&^fs.ModeType, old.UID, old.GID)
		}
		if err := over.Add(name, n); err != nil {
			return nil, err
		}
	}
	return over, nil
}

func overlayMode(name string, info fs.FileInfo) fs.FileMode {
	mode := tree.PlainModes(name, info)
	if words := strings.Split(name, "/"); words[0] == "root" || slices.Contains(words, ".ssh") {
		mode &= 0o700
	}
	return mode
}

// A Service is one that OpenRC starts.
type Service struct{ Name, Level string }

// ParseService reads NAME, which means the level default, or NAME:LEVEL.
func ParseService(text string) (Service, error) {
	name, level, leveled := strings.Cut(text, ":")
	if !leveled {
		level = "default"
	}
	for _, word := range []string{name, level} {
		if word == "" || word != path.Base(word) || word[0] == '.' {
			return Service{}, fmt.Errorf("service %q: want NAME or NAME:LEVEL, as sshd:default", text)
		}
	}
	return Service{name, level}, nil
}

// addServices enables services that the userland has.
func addServices(t *tree.Tree, services []Service) error {
	for _, s := range services {
		script := path.Join("etc/init.d", s.Name)
		if at, err := t.Follow(script); err != nil || !t.Has(at) {
			return step.WithHint(fmt.Errorf("service %s: the userland has no /%s", s.Name, script),
				"in Alpine, a service is in the package NAME-openrc; or bring the script in an overlay")
		}
		if err := t.Add(path.Join("etc/runlevels", s.Level, s.Name), tree.Symlink("/"+script)); err != nil {
			return err
		}
	}
	return nil
}
