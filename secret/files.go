package secret

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// A File is something to write below the new root.
type File struct {
	Path string      // from the root, with a leading slash
	Mode fs.FileMode // exact; with fs.ModeDir for a folder
	Data Private
	// Line is for a table such as /etc/passwd: Data is one line that is added
	// where no line with the same first field is.
	Line bool
}

// Where files go in the running system.
const (
	InterfacesPath = "/etc/network/interfaces"
	hostnamePath   = "/etc/hostname"
	mactabPath     = "/etc/mactab"
	sshKeyPath     = "/etc/ssh/ssh_host_ed25519_key"
)

// Install lists what a node needs in its root: but for InterfacesPath, where the
// volume has no network.interfaces. The copies of the volume belong on a tmpfs
// at layout.MountSecret that the caller mounts.
func (n Node) Install() (files []File, warnings []error) {
	add := func(path string, mode fs.FileMode, data []byte) {
		files = append(files, File{Path: path, Mode: mode, Data: Hide(data)})
	}
	add(hostnamePath, 0o644, []byte(n.safeName()+"\n"))
	add(layout.SecretEnv, 0o644, n.Env())
	if e, ok := n.Files[Mactab]; ok {
		add(mactabPath, 0o644, e.Data.Reveal())
	}
	if e, ok := n.Files[Interfaces]; ok {
		add(InterfacesPath, 0o644, e.Data.Reveal())
	}
	if e, ok := n.Files[SSHHostKey]; ok {
		public, err := sshPublicKey(e.Data.Reveal(), n.safeName())
		if err != nil {
			warnings = append(warnings, step.WithHint(fmt.Errorf("psyops-secret: %s is not used: %w", SSHHostKey, err),
				"the running system makes a key of its own, which ssh will not know; write a new one with `tk node`"))
		} else {
			add(sshKeyPath, 0o600, e.Data.Reveal())
			add(sshKeyPath+".pub", 0o644, public)
		}
	}
	if n.Toor {
		files = append(files,
			File{Path: "/etc/passwd", Mode: 0o644, Line: true, Data: Hide([]byte("toor:x:0:0:toor:/root:/bin/sh"))},
			File{Path: "/etc/shadow", Mode: 0o640, Line: true, Data: Hide([]byte("toor::::::::"))})
	}
	return append(files, n.copies()...), warnings
}

// copies lists the volume's files, for the paths in the env file to work
// without the medium.
func (n Node) copies() []File {
	files := []File{
		{Path: layout.MountSecretParent, Mode: fs.ModeDir | 0o700},
		{Path: layout.MountSecret, Mode: fs.ModeDir | 0o700},
	}
	folders := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(n.Files)) {
		for _, dir := range newFolders(path.Dir(name), folders) {
			files = append(files, File{Path: path.Join(layout.MountSecret, dir), Mode: fs.ModeDir | 0o700})
		}
		mode := fs.FileMode(0o600)
		if n.Files[name].Executable {
			mode = 0o700
		}
		files = append(files, File{Path: path.Join(layout.MountSecret, name), Mode: mode, Data: n.Files[name].Data})
	}
	return files
}

// newFolders lists dir and what is above it, from the top, as far as they are
// not in seen, and puts them there.
func newFolders(dir string, seen map[string]bool) (folders []string) {
	for ; !seen[dir]; dir = path.Dir(dir) {
		seen[dir] = true
		folders = append(folders, dir)
	}
	slices.Reverse(folders)
	return folders
}
