// Package rpm takes files out of RPM packages: a kernel's, of any distribution
// that has them. It reads one file and gives a tree.Tree. No script of the
// package is looked at, and what the package is signed with is not asked for:
// its digests only tell that it is whole (`rpm --checksig` asks).
//
// go-rpmutils has its door here.
package rpm

import (
	"crypto/sha256"
	_ "crypto/sha512" // some packages are hashed with it
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	rpmutils "github.com/sassoftware/go-rpmutils"

	"psyopsOS/image/tree"
)

// Info is what a package says of itself.
type Info struct {
	Name    string
	Version string // [EPOCH:]VERSION-RELEASE
	Arch    string
	Source  string // the source package's file
	License string
	SHA256  string // of the whole file
}

// maxSize bounds what is unpacked: a kernel with its debug data has 4 GiB.
const maxSize = 8 << 30

// maxHeader bounds each of the two headers: that of a package of 100,000 files
// has 20 MiB.
const maxHeader = 64 << 20

// Unpack reads the package in the file name, whose digests must fit. Contents
// go to spool, which must stay open as long as the tree is used, or where it
// is nil to memory.
func Unpack(name string, spool *os.File) (*tree.Tree, Info, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, Info{}, err
	}
	t, info, err := unpack(f, spool)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, Info{}, fmt.Errorf("unpack %s: %w", name, err)
	}
	return t, info, nil
}

func unpack(f io.ReadSeeker, spool *os.File) (t *tree.Tree, info Info, err error) {
	// The library does not bound what it reads, and panics on some damaged
	// headers.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the package is damaged: %v", p)
		}
	}()
	if err := checkHeaders(f); err != nil {
		return nil, Info{}, err
	}
	sum := sha256.New()
	whole := io.TeeReader(f, sum)
	header, _, err := rpmutils.Verify(whole, nil)
	if err != nil {
		return nil, Info{}, err
	}
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return nil, Info{}, err
	}
	if info, err = infoOf(header); err != nil {
		return nil, Info{}, err
	}
	info.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, Info{}, err
	}
	p, err := rpmutils.ReadRpm(f)
	if err != nil {
		return nil, Info{}, err
	}
	payload, err := p.PayloadReaderExtended()
	if err != nil {
		return nil, Info{}, err
	}
	t, err = treeOf(payload, spool)
	return t, info, err
}

// A package begins with 96 bytes that say little, then two headers: each is 16
// bytes that tell its size, a table of entries, and their data, the first one
// padded.
const (
	leadSize  = 96
	introSize = 16
)

// checkHeaders refuses headers that the library would reserve too much memory
// for, and rewinds.
func checkHeaders(f io.ReadSeeker) error {
	at := int64(leadSize)
	for range 2 {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return err
		}
		var intro struct{ Magic, Reserved, Entries, Size uint32 }
		if err := binary.Read(f, binary.BigEndian, &intro); err != nil || intro.Magic != 0x8eade801 {
			return errors.Join(errors.New("this is no RPM package"), err)
		}
		size := int64(intro.Entries)*16 + int64(intro.Size)
		if size > maxHeader {
			return fmt.Errorf("a header of %d bytes, and %d are taken at most", size, maxHeader)
		}
		at += (introSize + size + 7) / 8 * 8
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

func infoOf(h *rpmutils.RpmHeader) (Info, error) {
	n, err := h.GetNEVRA()
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: n.Name, Version: n.Version + "-" + n.Release, Arch: n.Arch}
	if n.Epoch != "" && n.Epoch != "0" {
		info.Version = n.Epoch + ":" + info.Version
	}
	// Either may be missing.
	info.Source, _ = h.GetString(rpmutils.SOURCERPM)
	info.License, _ = h.GetString(rpmutils.LICENSE)
	return info, nil
}

// inode tells apart files with several names.
type inode struct{ device, number int }

func treeOf(payload rpmutils.PayloadReader, spool *os.File) (*tree.Tree, error) {
	t, size := tree.New(), int64(0)
	names := map[inode][]string{} // of files whose content comes with a later name
	for {
		info, err := payload.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if size += info.Size(); size > maxSize || info.Size() < 0 {
			return nil, fmt.Errorf("more than the %d bytes that are taken at most", int64(maxSize))
		}
		id := inode{info.Device(), info.Inode()}
		if payload.IsLink() {
			names[id] = append(names[id], info.Name())
			continue
		}
		n, err := nodeOf(info, payload, spool)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", info.Name(), err)
		}
		for _, name := range append(names[id], info.Name()) {
			if err := add(t, name, n); err != nil {
				return nil, err
			}
		}
		delete(names, id)
	}
	for _, lost := range names {
		return nil, fmt.Errorf("%s has no content", lost[0])
	}
	return t, nil
}

// add puts a node at the absolute name that a package's file has.
func add(t *tree.Tree, name string, n *tree.Node) error {
	clean := path.Clean(strings.TrimPrefix(strings.TrimPrefix(name, "."), "/"))
	if clean == "." {
		return nil
	}
	return t.Add(clean, n)
}

// nodeOf is a file of root's: a kernel has no other.
func nodeOf(info rpmutils.FileInfo, content io.Reader, spool *os.File) (*tree.Node, error) {
	perm := fs.FileMode(info.Mode() & 0o777)
	switch info.Mode() & 0o170000 {
	case 0o040000:
		return tree.Dir(perm), nil
	case 0o120000:
		return tree.Symlink(info.Linkname()), nil
	case 0o100000:
		return tree.Spooled(perm, io.LimitReader(content, info.Size()), info.Size(), spool)
	}
	return nil, fmt.Errorf("a file of the mode %o is not for us", info.Mode())
}
