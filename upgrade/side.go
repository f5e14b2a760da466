package upgrade

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/repo"
)

const unverified = repo.Unverified

// incomplete takes away from a side what makes it one. It is made durable
// before anything else is changed.
func incomplete(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	names, err := fs.Glob(root.FS(), layout.OSTarSignature+"*")
	if err != nil {
		return err
	}
	for _, name := range append(names, layout.BootSum) {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(dir)
}

// A sideWriter fills a side whose signature is gone with a release. Only what
// the verified manifest names is written, below the side's own folder.
type sideWriter struct {
	dir      string
	root     *os.Root
	label    layout.Label
	manifest release.Manifest
	tar      *tar.Reader
	first    *tar.Header // the member that tar stands at
	source   *splice
	seen     []string
	reused   int64 // bytes that were here already
}

// clear removes what the release will not have, so that there is room for it.
// Files that may be part of it stay: they are looked at when their turn comes.
func (w *sideWriter) clear() error {
	entries, err := fs.ReadDir(w.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if name == "lost+found" || name == string(w.label) || name == layout.DeviceTrees && entry.IsDir() {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && w.mayBelong(name, info.Size()) {
			continue
		}
		if err := w.root.RemoveAll(name); err != nil {
			return err
		}
	}
	return w.clearTrees()
}

// clearTrees removes device trees of another release.
func (w *sideWriter) clearTrees() error {
	return fs.WalkDir(w.root.FS(), layout.DeviceTrees, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && w.mayBelong(name, info.Size()) {
			return nil
		}
		return w.root.Remove(name)
	})
}

// mayBelong reports whether a file may be one of the release, or what an
// earlier attempt has fetched of one.
func (w *sideWriter) mayBelong(name string, size int64) bool {
	if want, ok := w.manifest.File(name); ok {
		return size == want.Size
	}
	file, _, _ := strings.Cut(name, unverified)
	want, ok := w.manifest.File(file)
	return ok && name == begunName(want) && size <= want.Size
}

// begunName is what a file is called until it is verified. It says which file
// that will be: what was fetched of one release is not taken for the beginning
// of another's, which would be found out only at the file's end.
func begunName(want release.File) string { return want.Path + unverified + "-" + want.SHA256[:16] }

// members writes what comes behind the manifest.
func (w *sideWriter) members() error {
	for header := w.first; ; {
		want, ok := w.manifest.File(header.Name)
		if !ok || header.Typeflag != tar.TypeReg || header.Size != want.Size {
			return fmt.Errorf("the tar has %q of %d bytes, which the manifest does not name", header.Name, header.Size)
		}
		if slices.Contains(w.seen, want.Path) {
			return fmt.Errorf("the tar has %q twice", want.Path)
		}
		w.seen = append(w.seen, want.Path)
		if err := w.member(want); err != nil {
			return fmt.Errorf("%s: %w", want.Path, err)
		}
		var err error
		if header, err = w.tar.Next(); errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if missing := len(w.manifest.Files) - len(w.seen); missing > 0 {
		return fmt.Errorf("%d files of the manifest are not in the tar", missing)
	}
	// What comes after tar's own end belongs to what was signed.
	_, err := io.Copy(io.Discard, w.source)
	return err
}

func (w *sideWriter) member(want release.File) error {
	if here, err := w.root.Open(want.Path); err == nil {
		defer here.Close()
		if isSame(here, want) {
			if _, err := here.Seek(0, io.SeekStart); err != nil {
				return err
			}
			w.reused += want.Size
			if err := w.source.insert(here, want.Size); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, w.tar)
			return err
		}
		if err := w.root.Remove(want.Path); err != nil {
			return err
		}
	}
	if dir := path.Dir(want.Path); dir != "." {
		if err := w.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return w.fetch(want)
}

func isSame(f *os.File, want release.File) bool {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != want.Size {
		return false
	}
	h := sha256.New()
	_, err = io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, writeBytes))
	return err == nil && sumOf(h) == want.SHA256
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// writeBytes go to the side at a time.
const writeBytes = 1 << 20

// fetch writes one file, from where an earlier attempt was cut off. It gets
// its name when it is verified and on the medium.
func (w *sideWriter) fetch(want release.File) (err error) {
	temporary := begunName(want)
	f, err := w.root.OpenFile(temporary, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	h := sha256.New()
	have, err := w.fill(f, want, h)
	if err != nil {
		return err
	}
	if sum := sumOf(h); sum != want.SHA256 {
		again := ""
		if have > 0 {
			again = "; what an earlier attempt had left is removed, try again"
		}
		return errors.Join(fmt.Errorf("its SHA-256 is %s, the manifest says %s%s", sum, want.SHA256, again), w.root.Remove(temporary))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return w.root.Rename(temporary, want.Path)
}

// fill makes the file whole and hashes it, beside the writing.
func (w *sideWriter) fill(f *os.File, want release.File, h hash.Hash) (have int64, err error) {
	hashing := newAside(h)
	defer func() { err = errors.Join(err, hashing.wait()) }()
	if have, err = w.resume(f, want, hashing); err != nil {
		return 0, err
	}
	_, err = io.CopyBuffer(&early{f, have}, full{io.TeeReader(w.tar, hashing)}, make([]byte, writeBytes))
	return have, err
}

// early has the medium begin with what it is given at once. Left alone the
// kernel waits until a tenth of the memory is to be written: a stick of 8 MB/s
// then stood still while the first 100 MB were fetched and hashed.
type early struct {
	f  *os.File
	at int64
}

func (e *early) Write(p []byte) (int, error) {
	n, err := e.f.Write(p)
	_ = unix.SyncFileRange(int(e.f.Fd()), e.at, int64(n), unix.SYNC_FILE_RANGE_WRITE) // that it was written, Sync says
	e.at += int64(n)
	return n, err
}

// full reads until the buffer is full: a network gives a few KiB at a time, and
// as many small writes cost more than what is written.
type full struct{ io.Reader }

func (f full) Read(p []byte) (int, error) {
	n, err := io.ReadFull(f.Reader, p)
	if errors.Is(err, io.ErrUnexpectedEOF) && n > 0 {
		return n, nil // the next read tells whether it was the end
	}
	return n, err
}

// resume reads what is in the file already in place of the tar's bytes, and
// leaves the file where the rest is to be written.
func (w *sideWriter) resume(f *os.File, want release.File, h io.Writer) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	have := info.Size()
	if have > want.Size {
		have = 0
	}
	if err := f.Truncate(have); err != nil {
		return 0, err
	}
	w.reused += have
	if err := w.source.insert(f, have); err != nil {
		return 0, err
	}
	_, err = io.CopyN(h, w.tar, have)
	return have, err
}

// seal makes the side a release: BOOT.SUM from the verified hashes, the
// signature last. signatures are those of the tar by their names.
func (w *sideWriter) seal(bootSum []byte, files map[string][]byte, signatures map[string][]byte) error {
	files[layout.BootSum], files[string(w.label)] = bootSum, []byte(w.label)
	for name, content := range files {
		if err := w.put(name, content); err != nil {
			return err
		}
	}
	if err := w.syncFolders(); err != nil {
		return err
	}
	for name, content := range signatures {
		if err := w.put(name, content); err != nil {
			return err
		}
	}
	return syncFolder(w.dir)
}

func (w *sideWriter) put(name string, content []byte) error {
	f, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func (w *sideWriter) syncFolders() error {
	return fs.WalkDir(w.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || name == "lost+found" {
			if name == "lost+found" {
				return fs.SkipDir
			}
			return err
		}
		return syncFolder(path.Join(w.dir, name))
	})
}
