package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadTarFile reads the uncompressed tar file name. Contents stay in the file
// and are read from it when they are opened.
func ReadTarFile(name string) (*Tree, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	t, err := readTarFile(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func readTarFile(f *os.File) (*Tree, error) {
	t := New()
	// The tar reader does no reading ahead: behind a header, the file's
	// offset is where the content begins.
	watched := seekWatch{&endWatch{Reader: f}, f}
	for tr := tar.NewReader(watched); ; {
		h, err := tr.Next()
		if err == io.EOF && !watched.ended {
			return t, nil
		}
		if err != nil {
			return nil, watched.explain(err)
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := readMember(h, func(n *Node) error { return n.section(f.Name(), offset) }, t.addMember); err != nil {
			return nil, fmt.Errorf("tar member %q: %w", h.Name, err)
		}
	}
}

// seekWatch lets the tar reader skip contents.
type seekWatch struct {
	*endWatch
	io.Seeker
}

// section says that the content lies in the file name from offset on.
func (n *Node) section(name string, offset int64) error {
	size := n.Size
	n.Open = func() (io.ReadCloser, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, offset, size), f}, nil
	}
	return nil
}
