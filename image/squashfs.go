package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"psyopsOS/image/tree"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// SquashfsOptions says what the root file system of the nodes holds.
type SquashfsOptions struct {
	Userland  *tree.Tree
	Overlays  []*tree.Tree      // on top of it, the last one wins
	Services  []Service         // of OpenRC, beside those that the trees enable
	IsoJSON   []byte            // layout.IsoJSON
	PublicKey []byte            // layout.PublicKey; nil for none
	Keys      map[string][]byte // file name (NAME.pub) → minisign public key, for layout.KeysDir
	Upgrade   string            // the binary that becomes layout.UpgradeBin; empty for none
	Time      time.Time         // of all files
	Compression
	Out string
}

// Squashfs writes the root file system. The same input gives the same bytes.
func Squashfs(ctx context.Context, o SquashfsOptions) error {
	t, err := o.tree()
	if err != nil {
		return fmt.Errorf("squashfs: %w", err)
	}
	return writeSquashfs(ctx, t, o.Time, o.Compression, o.Out)
}

func (o SquashfsOptions) tree() (*tree.Tree, error) {
	t := tree.New()
	for _, part := range append([]*tree.Tree{o.Userland}, o.Overlays...) {
		if err := t.Merge(part, tree.Over); err != nil {
			return nil, err
		}
	}
	if err := addServices(t, o.Services); err != nil {
		return nil, err
	}
	if err := o.addRelease(t); err != nil {
		return nil, err
	}
	if err := addMountPoints(t); err != nil {
		return nil, err
	}
	if err := addFstab(t); err != nil {
		return nil, err
	}
	// Alpine's modloop service makes links of these two; what a userland
	// package left there would hide the modloop.
	for _, name := range []string{"lib/firmware", "lib/modules", "boot"} {
		if at, err := t.Follow(name); err == nil {
			t.Remove(at)
		}
	}
	return t, nil
}

// addRelease adds what tells this image from others: its keys, its origin,
// the updater.
func (o SquashfsOptions) addRelease(t *tree.Tree) error {
	files := map[string]*tree.Node{}
	if o.IsoJSON != nil {
		files[member(layout.IsoJSON)] = tree.File(0o644, o.IsoJSON)
	}
	if o.PublicKey != nil {
		files[member(layout.PublicKey)] = tree.File(0o644, o.PublicKey)
	}
	for name, key := range o.Keys {
		files[member(layout.KeysDir, name)] = tree.File(0o644, key)
	}
	if o.Upgrade != "" {
		program, err := tree.FileOf(0o755, o.Upgrade)
		if err != nil {
			return err
		}
		files[member(layout.UpgradeBin)] = program
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := t.Add(name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// addMountPoints adds the folders onto which something is mounted, or into
// which a program writes, before anything in the image could make them.
func addMountPoints(t *tree.Tree) error {
	dirs := map[string]fs.FileMode{
		"dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "tmp": fs.ModeSticky | 0o777, "root": 0o700,
		"lib": 0o755, "psyopsos-data": 0o755,
		member(layout.KeysDir): 0o755, member(layout.StatusDir): 0o755,
		member(layout.MountSecretParent): 0o700, member(layout.ModloopDir): 0o755,
		member(layout.MediaRAM): 0o755, member(layout.MediaRootRO): 0o755, member(layout.MediaRootRW): 0o755,
	}
	for _, v := range layout.Volumes() {
		if v.MountPoint != "" {
			dirs[member(v.MountPoint)] = 0o755
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := t.Add(dir, tree.Dir(dirs[dir])); err != nil {
			return err
		}
	}
	return nil
}

// addFstab adds a line for each volume that is mounted by hand or by a program
// to what the userland brings: Alpine's fstab has lines for disks of its own.
func addFstab(t *tree.Tree) error {
	const name = "etc/fstab"
	var table []byte
	mode := fs.FileMode(0o644)
	if old, ok := t.Get(name); ok {
		var err error
		if table, err = old.Content(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		mode = old.Mode.Perm()
	}
	if len(table) > 0 && table[len(table)-1] != '\n' {
		table = append(table, '\n')
	}
	mounted := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 1 && !strings.HasPrefix(fields[0], "#") {
			mounted[fields[1]] = true
		}
	}
	for _, v := range layout.Volumes() {
		if v.MountPoint != "" && !mounted[v.MountPoint] {
			table = fmt.Appendf(table, "LABEL=%s %s %s ro,noauto 0 0\n", v.Label, v.MountPoint, v.Filesystem)
		}
	}
	return t.Add(name, tree.File(mode, table))
}

// writeSquashfs has mksquashfs make the file out of t. Owners, modes and
// device nodes are told to it, so it needs neither root nor a folder on disk,
// and no umask, clock, user or order of a folder gets into the image.
func writeSquashfs(ctx context.Context, t *tree.Tree, mtime time.Time, c Compression, out string) (err error) {
	temp, told := hidden(out, ".new"), hidden(out, ".told")
	defer func() { err = errors.Join(err, removeIfThere(temp), removeIfThere(told)) }()
	if err := removeIfThere(temp); err != nil {
		return err
	}
	tell := tellPseudo
	if hasXattrs(t) {
		tell = tellTar
	}
	cmd, err := tell(ctx, t, temp, told)
	if err != nil {
		return fmt.Errorf("make %s: %w", out, err)
	}
	if f, ok := cmd.Stdin.(*os.File); ok {
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	seconds := strconv.FormatInt(mtime.Unix(), 10)
	cmd.Args = append(cmd.Args, "-noappend", "-no-progress", "-quiet", "-all-time", seconds, "-mkfs-time", seconds)
	cmd.Args = append(cmd.Args, c.args()...)
	// It refuses -mkfs-time where the environment has a time too.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SOURCE_DATE_EPOCH=") })
	if said, err := cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("make %s: %s: %w\n%s", out, strings.Join(cmd.Args, " "), err, bytes.TrimSpace(said))
		// ENOSPC is what a limit of none gives.
		if cmd.SysProcAttr != nil && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC)) {
			return step.WithHint(err, "this machine lets nobody but root make a user namespace, which extended attributes need here: set kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0 or user.max_user_namespaces=1000, as far as it has them, or run this as root")
		}
		return err
	}
	if err := os.Chmod(temp, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, out)
}

// tellPseudo is the command that makes the squashfs temp of a pseudo file.
func tellPseudo(ctx context.Context, t *tree.Tree, temp, pseudo string) (*exec.Cmd, error) {
	err := replaceFile(pseudo, func(w io.Writer) error { return writePseudo(w, t) })
	return exec.CommandContext(ctx, "mksquashfs", "-", temp, "-pf", pseudo), err
}

// hidden is a name beside out for what is not yet out.
func hidden(out, ending string) string {
	return filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+ending)
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
