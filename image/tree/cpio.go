package tree

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// WriteCpio writes all nodes but the root as a newc archive, as an initramfs
// is: sorted, all times zero, inodes numbered in order. Hard links become
// files of their own.
func (t *Tree) WriteCpio(w io.Writer) error {
	cw := cpio.Newc.Writer(w)
	ino := uint64(0)
	for name, n := range t.All() {
		if name == "." {
			continue
		}
		record, err := cpioRecord(name, n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ino++
		record.Ino = ino
		if err := cw.WriteRecord(record); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return cpio.WriteTrailer(cw)
}

func cpioRecord(name string, n *Node) (cpio.Record, error) {
	mode := uint64(UnixMode(n.Mode))
	r := cpio.Record{Info: cpio.Info{Name: name, UID: uint64(n.UID), GID: uint64(n.GID), NLink: 1}}
	content := []byte{}
	switch {
	case n.Mode.IsRegular():
		var err error
		if content, err = n.Content(); err != nil {
			return r, err
		}
		r.Mode = unix.S_IFREG | mode
	case n.Mode.IsDir():
		r.Mode = unix.S_IFDIR | mode
	case n.Mode.Type() == fs.ModeSymlink:
		content, r.Mode = []byte(n.Target), unix.S_IFLNK|mode
	case n.Mode&fs.ModeCharDevice != 0:
		r.Mode, r.Rmajor, r.Rminor = unix.S_IFCHR|mode, uint64(n.Major), uint64(n.Minor)
	case n.Mode&fs.ModeDevice != 0:
		r.Mode, r.Rmajor, r.Rminor = unix.S_IFBLK|mode, uint64(n.Major), uint64(n.Minor)
	case n.Mode&fs.ModeNamedPipe != 0:
		r.Mode = unix.S_IFIFO | mode
	default:
		return r, fmt.Errorf("a cpio archive cannot hold a %s", n.Mode.Type())
	}
	r.FileSize, r.ReaderAt = uint64(len(content)), bytes.NewReader(content)
	return r, nil
}
