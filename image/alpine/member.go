package alpine

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// Indexes and packages are gzip members one behind the other, each with a
// part of a tar in it: the signature, then what is signed. What is signed or
// hashed is the compressed member, so its exact end matters.

// Bounds on what is read before anything vouches for it, or into memory.
const (
	maxIndex   = 256 << 20
	maxControl = 16 << 20
	maxSign    = 1 << 20
	maxData    = 8 << 30
)

// byteCounter lets gzip read byte by byte, so that it stops where a member
// ends, and knows where that is.
type byteCounter struct {
	*bufio.Reader
	n int64
}

func (c *byteCounter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func (c *byteCounter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// readMember uncompresses the member that begins at from, and gives its
// compressed length. Members with more than limit bytes in them are refused.
func readMember(r io.ReaderAt, from, size, limit int64) (content []byte, length int64, err error) {
	counter := &byteCounter{Reader: bufio.NewReader(io.NewSectionReader(r, from, size-from))}
	z, err := gzip.NewReader(counter)
	if err != nil {
		return nil, 0, fmt.Errorf("at %d: %w", from, err)
	}
	z.Multistream(false)
	content, err = io.ReadAll(io.LimitReader(z, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("more than %d bytes are compressed there", limit)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("member at %d: %w", from, err)
	}
	return content, counter.n, nil
}

// smallTar reads a part of a tar into memory.
func smallTar(content []byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if files[h.Name] != nil {
			return nil, fmt.Errorf("%q is there twice", h.Name)
		}
		if h.Size > int64(len(content)) {
			return nil, errors.New("a sparse file")
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files[h.Name] = append([]byte{}, data...)
	}
}
