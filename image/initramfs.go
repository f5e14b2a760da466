// Package image makes what a machine boots: the initramfs here, the rest in
// the folders below. It reads the build's folders and writes the files it is
// told to; it needs no root. u-root's cpio writer and command builder
// have their door here.
package image

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// InitramfsOptions says what an initramfs holds.
type InitramfsOptions struct {
	Init      string            // our static PID 1, from BuildInit
	PublicKey []byte            // layout.PublicKey; nil for none
	Keys      map[string][]byte // file name (NAME.pub) → minisign public key, for layout.KeysDir
	Modules   fs.FS             // files below /, as lib/modules/KVER/…; nil for none
	Commands  string            // the cpio archive of UrootCommands; empty for none
	Out       string            // the zstd compressed archive to write
}

// initramfsDirs are the mount points of the boot and what programs expect.
var initramfsDirs = []string{
	"bin", "dev", "etc", "etc/psyopsOS", "etc/psyopsOS/keys", "lib", "media", "mnt", "newroot",
	"proc", "run", "sys", "tmp",
}

// Initramfs writes the archive that the kernel unpacks: our init, the keys it
// trusts, the kernel modules that find and read a side, and the tools of the
// emergency shell. The same input gives the same bytes.
func Initramfs(ctx context.Context, o InitramfsOptions) (err error) {
	if len(o.PublicKey) == 0 && len(o.Keys) == 0 {
		return errors.New("initramfs: no public key: this initramfs would refuse every release")
	}
	records, err := o.records()
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return replaceFile(o.Out, func(w io.Writer) error { return compress(ctx, w, records) })
}

// records lists the archive's members, each folder before what lies in it.
func (o InitramfsOptions) records() ([]cpio.Record, error) {
	init, err := fileRecord("init", o.Init, 0o755)
	if err != nil {
		return nil, err
	}
	records := []cpio.Record{init}
	for _, dir := range initramfsDirs {
		records = append(records, cpio.Directory(dir, dirMode(dir)))
	}
	// Without these two the Go runtime aborts where PID 1 starts with closed
	// file descriptors, and there is no console to say so.
	records = append(records,
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.Symlink("bin/blkid", "../init"), // u-root's knows no labels
		cpio.Symlink("bin/neuralupgrade", "../init"))
	records = append(records, o.keyRecords()...)
	for _, more := range []func() ([]cpio.Record, error){o.moduleRecords, o.commandRecords} {
		rs, err := more()
		if err != nil {
			return nil, err
		}
		records = append(records, rs...)
	}
	return records, nil
}

func dirMode(dir string) uint64 {
	if dir == "tmp" {
		return 0o1777
	}
	return 0o755
}

func (o InitramfsOptions) keyRecords() []cpio.Record {
	var records []cpio.Record
	if len(o.PublicKey) > 0 {
		records = append(records, cpio.StaticFile(member(layout.PublicKey), string(o.PublicKey), 0o644))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Keys)) {
		records = append(records, cpio.StaticFile(member(layout.KeysDir, name), string(o.Keys[name]), 0o644))
	}
	return records
}

// member is the name in the archive of a path of the running system.
func member(elem ...string) string { return strings.TrimPrefix(path.Join(elem...), "/") }

func (o InitramfsOptions) moduleRecords() ([]cpio.Record, error) {
	if o.Modules == nil {
		return nil, nil
	}
	var records []cpio.Record
	err := fs.WalkDir(o.Modules, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			records = append(records, cpio.Directory(name, 0o755))
			return nil
		}
		content, err := fs.ReadFile(o.Modules, name)
		records = append(records, cpio.StaticFile(name, string(content), 0o644))
		return err
	})
	return records, err
}

// commandRecords takes the records of UrootCommands' archive as they are.
func (o InitramfsOptions) commandRecords() ([]cpio.Record, error) {
	if o.Commands == "" {
		return nil, nil
	}
	archive, err := os.ReadFile(o.Commands)
	if err != nil {
		return nil, err
	}
	records, err := readArchive(archive)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Commands, err)
	}
	return records, nil
}

// readArchive reads a whole newc archive, trailer included: u-root's reader
// takes the half of one for all of it.
func readArchive(archive []byte) ([]cpio.Record, error) {
	if !bytes.HasSuffix(bytes.TrimRight(archive, "\x00"), []byte(cpio.Trailer)) {
		return nil, fmt.Errorf("%d bytes are no complete cpio archive: its last member is missing", len(archive))
	}
	return cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
}

func fileRecord(name, file string, mode uint64) (cpio.Record, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return cpio.Record{}, err
	}
	return cpio.StaticFile(name, string(content), mode), nil
}

// zstdArgs: level 19 is 11 % smaller than the best that a library in Go does,
// unpacks as fast, and is slow only when the archive is made (10 s). A window
// of 16 MiB spans nearly the whole archive, and finds that the commands and the
// init have the Go runtime in common (8 MiB: 5 % larger); the kernel takes one
// of 128 MiB at most. One thread: the same bytes on every machine.
var zstdArgs = []string{"-q", "-T1", "-19", "--zstd=wlog=24", "--check", "-c"}

// compress writes records as one zstd frame.
func compress(ctx context.Context, w io.Writer, records []cpio.Record) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // where the archive ends early
	cmd := exec.CommandContext(ctx, "zstd", zstdArgs...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return step.WithHint(err, "`tk check-deps` lists the programs that tk calls")
	}
	archive := bufio.NewWriterSize(in, 1<<20)
	if err := errors.Join(writeRecords(ctx, archive, records), archive.Flush()); err != nil {
		cancel()
		return errors.Join(err, cmd.Wait())
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		return fmt.Errorf("zstd: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// writeRecords writes a newc archive. Each record gets an inode number of its
// own in the order of writing, and the time zero; a name that comes twice is
// written once.
func writeRecords(ctx context.Context, w io.Writer, records []cpio.Record) error {
	cw := cpio.Newc.Writer(w)
	for i, r := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		r = cpio.MakeReproducible(r)
		r.Ino = uint64(i + 1)
		if err := cw.WriteRecord(r); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return cpio.WriteTrailer(cw)
}

// replaceFile writes a file beside name and gives it its name when it is
// complete, so that a broken build leaves no half archive.
func replaceFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(f.Name()))
		}
	}()
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(write(buffered), buffered.Flush(), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
