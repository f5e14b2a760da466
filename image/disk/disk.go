// Package disk makes disk images: FAT and ext4 filesystems and the GPT that
// holds them. It needs neither root nor a loop device, and gives the same
// bytes for the same input whatever the user, umask, time zone, clock or
// folder.
//
// It reads the files that it is given and writes the image at the path that
// it is given, as a sparse file; nothing else. The filesystems are made by the
// programs mkfs.fat, mmd, mcopy, mdel and mshowfat (dosfstools, mtools) and
// mke2fs, debugfs and e2fsck (e2fsprogs); the GPT by go-diskfs, of which this
// package is the only user. go-diskfs's own FAT32 and ext4 are not used:
// fsck.fat and e2fsck complain about them.
package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A File goes into a filesystem: Data, or where Data is nil the content of the
// host's file Source.
type File struct {
	Path   string // slash-separated, without leading slash
	Data   []byte
	Source string
	// Mode is the permissions on ext4; 0 means 0644. FAT has none.
	Mode fs.FileMode
	// Alone asks FAT to put the file at the beginning of an aligned 4 KiB of
	// the disk which it shares with nothing that is ever written: a disk may
	// destroy 4 KiB when the power is cut in a write of 512 bytes.
	Alone bool
}

// A Progress is told how many bytes of how many are through; nil is allowed.
type Progress func(done, total int64)

func (p Progress) tell(done, total int64) {
	if p != nil {
		p(done, total)
	}
}

// Tree lists the regular files below dir, sorted by path. Anything else than
// files and folders is refused.
func Tree(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is a %s, not a regular file", name, d.Type())
		}
		rel, err := filepath.Rel(dir, name)
		files = append(files, File{Path: filepath.ToSlash(rel), Source: name})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", dir, err)
	}
	return files, nil
}

// Size is how many bytes the file has.
func (f File) Size() (int64, error) {
	if f.Data != nil {
		return int64(len(f.Data)), nil
	}
	info, err := os.Stat(f.Source)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", f.Path, err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("size of %s: %s is not a regular file", f.Path, f.Source)
	}
	return info.Size(), nil
}

// Open opens the content for reading.
func (f File) Open() (io.ReadCloser, error) {
	if f.Data != nil {
		return io.NopCloser(bytes.NewReader(f.Data)), nil
	}
	return os.Open(f.Source)
}

// check refuses names that the programs which write them could read as
// something else, and names that are there twice, however they are cased:
// FAT does not tell them apart.
func check(files []File) error {
	seen := map[string]string{}
	for _, f := range files {
		if !fs.ValidPath(f.Path) || f.Path == "." {
			return fmt.Errorf("file %q: not a path within a filesystem", f.Path)
		}
		for part := range strings.SplitSeq(f.Path, "/") {
			if !plain(part) {
				return fmt.Errorf("file %q: a name has other characters than A-Z a-z 0-9 . _ - + or begins with a dash or a dot, or ends in a dot", f.Path)
			}
		}
		if f.Data != nil && f.Source != "" {
			return fmt.Errorf("file %q: has both data and a source", f.Path)
		}
		if twin, ok := seen[strings.ToLower(f.Path)]; ok {
			return fmt.Errorf("file %q: %q is there already", f.Path, twin)
		}
		seen[strings.ToLower(f.Path)] = f.Path
	}
	return nil
}

func plain(name string) bool {
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("._-+", c):
		default:
			return false
		}
	}
	return len(name) <= 255 && !strings.HasPrefix(name, "-") && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".")
}

// folders lists every folder that files need, each after its parent, in the
// order in which the files name them.
func folders(files []File) []string {
	var list []string
	seen := map[string]bool{".": true}
	var add func(dir string)
	add = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		add(path.Dir(dir))
		list = append(list, dir)
	}
	for _, f := range files {
		add(path.Dir(f.Path))
	}
	return list
}

// create makes an empty sparse file of size bytes in the place of what is
// there, for the owner's eyes only: an image may hold a node's secrets.
func create(name string, size int64) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
