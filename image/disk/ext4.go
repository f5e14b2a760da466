package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Ext4Options describe an ext4 filesystem.
type Ext4Options struct {
	Label     string // up to 16 characters
	SizeBytes int64
	UUID      string
	HashSeed  string // a UUID too
	Time      time.Time
}

// ext4Features are written out because the defaults of newer e2fsprogs
// (orphan_file, metadata_csum_seed) are unreadable to GRUB 2.06.
const ext4Features = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super," +
	"large_file,huge_file,dir_nlink,extra_isize,metadata_csum"

// Ext4 makes an ext4 filesystem at name that holds files, in the order of the
// list, owned by root whoever builds it. Folders have mode 0755.
//
// The files go in with debugfs and not with mke2fs -d, which takes owner, mode
// and times from a folder of the build machine, so that it would need root and
// a copy of everything.
func Ext4(ctx context.Context, name string, o Ext4Options, files []File) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the ext4 filesystem %s in %s: %w", o.Label, name, err)
		}
	}()
	if err := o.check(files); err != nil {
		return err
	}
	e := ext4{tools{o.Time}, o, name}
	if err := create(name, o.SizeBytes); err != nil {
		return err
	}
	if err := e.format(ctx); err != nil {
		return err
	}
	if err := e.fill(ctx, files); err != nil {
		return err
	}
	// debugfs ends with 0 whatever happened to it.
	_, _, err = e.run(ctx, nil, "e2fsck", "-fn", name)
	return err
}

func (o Ext4Options) check(files []File) error {
	if !regexp.MustCompile(`^[A-Za-z0-9._-]{1,16}$`).MatchString(o.Label) {
		return fmt.Errorf("label %q: want 1 to 16 of A-Z a-z 0-9 . _ -", o.Label)
	}
	for _, u := range []string{o.UUID, o.HashSeed} {
		if !guidForm.MatchString(u) {
			return fmt.Errorf("UUID %q: want the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", u)
		}
	}
	if o.Time.Unix() <= 0 {
		return fmt.Errorf("time %v: e2fsprogs wants one after 1970", o.Time)
	}
	if o.SizeBytes%block != 0 {
		return fmt.Errorf("size %d: want a multiple of 4096", o.SizeBytes)
	}
	return check(files)
}

type ext4 struct {
	tools
	Ext4Options
	image string
}

// format runs mke2fs with everything given that a mke2fs.conf could change.
func (e ext4) format(ctx context.Context) error {
	_, _, err := e.run(ctx, nil, "mke2fs", "-q", "-F", "-t", "ext4", "-O", ext4Features,
		"-b", "4096", "-I", "256", "-N", "4096", "-m", "0", "-J", "size=4", "-e", "remount-ro",
		"-L", e.Label, "-U", e.UUID,
		"-E", "hash_seed="+e.HashSeed+",root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard", e.image)
	return err
}

// fill gives debugfs a script. It calls the sources by number, through links
// in a folder of our own, since it has its own idea of blanks and quotes.
func (e ext4) fill(ctx context.Context, files []File) error {
	if len(files) == 0 {
		return nil
	}
	scratch, err := os.MkdirTemp("", "psyopsOS-ext4-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	for i, f := range files {
		if err := provide(f, filepath.Join(scratch, fmt.Sprint(i))); err != nil {
			return err
		}
	}
	script := filepath.Join(scratch, "script")
	if err := os.WriteFile(script, []byte(debugfsScript(files)), 0o600); err != nil {
		return err
	}
	image, err := filepath.Abs(e.image)
	if err != nil {
		return err
	}
	_, stderr, err := e.runIn(ctx, scratch, nil, "debugfs", "-w", "-f", "script", image)
	if err != nil {
		return err
	}
	return debugfsComplaint(stderr)
}

// provide makes the content of f readable under name.
func provide(f File, name string) error {
	if f.Data != nil {
		return os.WriteFile(name, f.Data, 0o600)
	}
	source, err := filepath.Abs(f.Source)
	if err != nil {
		return err
	}
	if _, err := os.Stat(source); err != nil {
		return err
	}
	return os.Symlink(source, name)
}

func debugfsScript(files []File) string {
	var b strings.Builder
	own := func(name string, mode uint32) {
		fmt.Fprintf(&b, "sif %s mode 0%o\nsif %s uid 0\nsif %s gid 0\n", name, mode, name, name)
	}
	for _, dir := range folders(files) {
		fmt.Fprintf(&b, "mkdir %s\n", dir)
		own(dir, 0o040755)
	}
	for i, f := range files {
		fmt.Fprintf(&b, "write %d %s\n", i, f.Path)
		mode := f.Mode.Perm()
		if mode == 0 {
			mode = 0o644
		}
		own(f.Path, 0o100000|uint32(mode))
	}
	return b.String()
}

// debugfsComplaint is what debugfs wrote on its error output below its name.
func debugfsComplaint(stderr string) error {
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "debugfs 1.") {
			continue
		}
		return withRoomHint(fmt.Errorf("debugfs: %s", line))
	}
	return nil
}

// Ext4Room is the size in bytes, of whole MiB, of a filesystem made by Ext4
// into which content bytes in a few dozen files fit with little to spare.
func Ext4Room(content int64) int64 {
	const (
		fixed = 7 * mebibyte  // journal, inodes, the last blocks of files
		least = 12 * mebibyte // mke2fs wants the journal below half of it
	)
	size := max(least, content+content/64+fixed)
	return (size + mebibyte - 1) / mebibyte * mebibyte
}
