package alpine

import (
	_ "embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"psyopsOS/image/tree"
	"psyopsOS/step"
)

// Recipe tells apart what different versions of this package make of the same
// packages.
const Recipe = "1"

//go:embed world
var defaultWorld []byte

// DefaultWorld is the world file of somebody who has none: what a node of
// psyopsOS needs, by names that Alpine has had since 3.17.
func DefaultWorld() []byte { return slices.Clone(defaultWorld) }

// Options say what a userland is beside its packages.
type Options struct {
	World        []Dependency
	Repositories []Repository
	Arch         string
	Services     map[string][]string // by run level; nil: Services()
	Spool        *os.File            // for contents; nil: memory
}

// A Userland is a tree and what nobody did for it, because only a script
// could have.
type Userland struct {
	Tree   *tree.Tree
	Undone []string
}

// Install makes a userland of packages in their order.
func Install(files []File, o Options) (Userland, error) {
	i := installation{tree: tree.New(), owns: map[string]*Package{}}
	for _, f := range layoutFirst(files) {
		content, owners, err := f.Unpack(o.Spool)
		if err != nil {
			return Userland{}, err
		}
		i.parts = append(i.parts, &installed{File: f, content: content, owners: owners})
	}
	for _, do := range []func() error{i.makeAccounts, i.merge, i.busyboxLinks,
		func() error { return i.services(o) }, i.nodes, func() error { return i.database(o) }} {
		if err := do(); err != nil {
			return Userland{}, fmt.Errorf("install: %w", err)
		}
	}
	return Userland{i.tree, i.undone}, nil
}

// layoutFirst puts the packages first that know the modes of /tmp and /root:
// of two that have a folder, the first one tells its mode.
func layoutFirst(files []File) []File {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return isLayout(b) - isLayout(a) })
	return files
}

func isLayout(f File) int {
	if strings.Contains(f.Name, "-baselayout") {
		return 1
	}
	return 0
}

type installed struct {
	File
	content *tree.Tree
	owners  map[string]owner
	placed  map[string]*tree.Node // the content's nodes with owners of this userland
}

type installation struct {
	tree     *tree.Tree
	parts    []*installed
	accounts accounts
	owns     map[string]*Package // by where a file is
	undone   []string
}

func (i *installation) tell(format string, a ...any) {
	i.undone = append(i.undone, fmt.Sprintf(format, a...))
}

// scriptNames are the scripts that apk runs when it installs.
func scriptNames() []string { return []string{"pre-install", "post-install", "trigger"} }

// makeAccounts reads the packages' accounts and adds those that their scripts
// make, before any file is placed: files belong to accounts.
func (i *installation) makeAccounts() error {
	base := tree.New()
	for _, part := range i.parts {
		for _, name := range []string{passwdFile, shadowFile, groupFile} {
			if n, ok := part.content.Get(name); ok {
				if err := base.Add(name, n); err != nil {
					return err
				}
			}
		}
	}
	var err error
	if i.accounts, err = readAccounts(base); err != nil {
		return err
	}
	for _, part := range i.parts {
		for _, name := range scriptNames() {
			s := readScript(part.Scripts[name])
			for _, words := range s.accounts {
				if err := i.accounts.run(words); err != nil {
					i.tell("%s: %s: %s: %v", part.Package, name, strings.Join(words, " "), err)
				}
			}
			// What these do is done here: busyboxLinks.
			if strings.HasPrefix(part.Name, "busybox") {
				continue
			}
			for _, command := range s.undone {
				i.tell("%s: %s: not run: %s", part.Package, name, command)
			}
		}
	}
	return nil
}

// merge places the files of all packages.
func (i *installation) merge() error {
	for _, part := range i.parts {
		same := map[*tree.Node]*tree.Node{} // so that hard links stay ones
		part.placed = map[string]*tree.Node{}
		for name, n := range part.content.All() {
			if name == "." {
				continue
			}
			if same[n] == nil {
				same[n] = i.owned(part, name, n)
			}
			part.placed[name] = same[n]
			if err := i.place(part, name, same[n]); err != nil {
				return fmt.Errorf("package %s: %w", part.Package, err)
			}
		}
	}
	return i.accounts.write(i.tree)
}

func (i *installation) place(part *installed, name string, n *tree.Node) error {
	dir, err := i.tree.Follow(path.Dir(name))
	if err != nil {
		return err
	}
	at := path.Join(dir, path.Base(name))
	if other := i.owns[at]; other != nil && !n.Mode.IsDir() {
		keep, err := overwrite(other, &part.Package)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if keep {
			return nil
		}
	}
	if !n.Mode.IsDir() {
		i.owns[at] = &part.Package
	}
	return i.tree.Add(name, n)
}

// overwrite decides between two packages that have one file. As with apk, the
// newcomer gets it where it says that it replaces the other, or comes from
// the same source.
func overwrite(old, next *Package) (keep bool, err error) {
	replaces := func(a, b *Package) bool {
		return slices.ContainsFunc(a.Replaces, func(d Dependency) bool { return b.does(d) })
	}
	switch {
	case replaces(next, old) && (!replaces(old, next) || next.ReplacesPriority >= old.ReplacesPriority):
		return false, nil
	case replaces(old, next):
		return true, nil
	case next.Origin != "" && next.Origin == old.Origin:
		return false, nil
	}
	return false, fmt.Errorf("both %s and %s have it", old, next)
}

// owned gives n the numbers of its owners' names in this userland. Numbers
// without a name that is known here stay as they are, and are told.
func (i *installation) owned(part *installed, name string, n *tree.Node) *tree.Node {
	who := part.owners[name]
	uid, knownUser := i.accounts.users[who.user]
	gid, knownGroup := i.accounts.groups[who.group]
	if !knownUser {
		uid = n.UID
	}
	if !knownGroup {
		gid = n.GID
	}
	if !knownUser && uid != 0 || !knownGroup && gid != 0 {
		i.tell("%s: %s: its owner %s:%s is unknown here, and stays number %d:%d", part.Package, name, who.user, who.group, uid, gid)
	}
	if uid == n.UID && gid == n.GID {
		return n
	}
	return n.With(n.Mode&^fs.ModeType, uid, gid)
}

// busyboxPaths is where busybox's packages list the links that they want.
const busyboxPaths = "etc/busybox-paths.d"

// busyboxLinks makes links to busybox's programs where no package has a
// program of that name.
func (i *installation) busyboxLinks() error {
	links := tree.New()
	for _, applet := range suidApplets() {
		if i.tree.Has("bin/bbsuid") {
			if err := links.Add(applet, tree.Symlink("/bin/bbsuid")); err != nil {
				return err
			}
		}
	}
	lists := 0
	for name, n := range i.tree.All() {
		if path.Dir(name) != busyboxPaths || !n.Mode.IsRegular() {
			continue
		}
		lists++
		content, err := n.Content()
		if err != nil {
			return err
		}
		program := "/bin/busybox"
		if i.tree.Has("bin/" + path.Base(name)) {
			program = "/bin/" + path.Base(name)
		}
		for line := range strings.FieldsSeq(string(content)) {
			applet := strings.TrimPrefix(line, "/")
			if links.Has(applet) || "/"+applet == program {
				continue
			}
			if err := links.Add(applet, tree.Symlink(program)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if lists == 0 && i.tree.Has("bin/busybox") {
		return step.WithHint(fmt.Errorf("busybox does not say which links it wants: nothing is in %s", busyboxPaths), "use Alpine 3.17 or later")
	}
	return i.tree.Merge(links, tree.Under)
}

// suidApplets are what Alpine's busybox-suid offers to everybody.
func suidApplets() []string {
	return []string{"bin/mount", "bin/su", "bin/umount", "usr/bin/crontab", "usr/bin/passwd", "usr/bin/traceroute", "usr/bin/traceroute6", "usr/bin/vlock"}
}

// Services are what psyopsOS enables, by run level, and the network.
func Services() map[string][]string {
	return map[string][]string{
		"sysinit":  {"devfs", "dmesg", "mdev", "hwdrivers", "modloop"},
		"boot":     {"hwclock", "modules", "sysctl", "hostname", "bootmisc", "syslog", "seedrng", "networking"},
		"default":  {"local", "sshd"},
		"shutdown": {"mount-ro", "killprocs", "savecache"},
	}
}

// services makes the links of the run levels. A service that no package
// brought is told.
func (i *installation) services(o Options) error {
	levels := o.Services
	if levels == nil {
		levels = Services()
	}
	for _, level := range slices.Sorted(maps.Keys(levels)) {
		if err := i.tree.Add(path.Join("etc/runlevels", level), tree.Dir(0o755)); err != nil {
			return err
		}
		for _, name := range levels[level] {
			if !i.tree.Has("etc/init.d/" + name) {
				i.tell("service %s (%s): no package brought /etc/init.d/%s", name, level, name)
				continue
			}
			if err := i.tree.Add(path.Join("etc/runlevels", level, name), tree.Symlink("/etc/init.d/"+name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// nodes adds the devices without which the kernel starts init without file
// descriptors.
func (i *installation) nodes() error {
	for name, n := range map[string]*tree.Node{"dev/null": tree.CharDevice(0o666, 1, 3), "dev/console": tree.CharDevice(0o600, 5, 1)} {
		if err := i.tree.Add(name, n); err != nil {
			return err
		}
	}
	return nil
}
