package debian

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"psyopsOS/image/decompress"
	"psyopsOS/image/tree"
)

// Unpack reads the files of the package in the file name. Contents go to
// spool, which must stay open as long as the tree is used, or where it is nil
// to memory. No script of the package is looked at.
func Unpack(name string, spool *os.File) (*tree.Tree, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	t, err := unpack(f, spool)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return t, nil
}

func unpack(r io.Reader, spool *os.File) (*tree.Tree, error) {
	buffered := bufio.NewReaderSize(r, 1<<20)
	if magic, err := buffered.Peek(len(arMagic)); err != nil || string(magic) != arMagic {
		return nil, errors.New("this is no Debian package")
	}
	if _, err := buffered.Discard(len(arMagic)); err != nil {
		return nil, err
	}
	for {
		name, size, err := arHeader(buffered)
		if err == io.EOF {
			return nil, errors.New("the package has no data member")
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "data.tar") {
			return untar(name, io.LimitReader(buffered, size), spool)
		}
		if _, err := io.CopyN(io.Discard, buffered, size+size%2); err != nil {
			return nil, err
		}
	}
}

// A Debian package is an ar archive: this line, then members with a header of
// 60 bytes each, at even offsets. The library that reads ar panics on
// damaged headers.
const arMagic = "!<arch>\n"

func arHeader(r io.Reader) (name string, size int64, err error) {
	var header [60]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return "", 0, err
	}
	size, err = strconv.ParseInt(strings.TrimSpace(string(header[48:58])), 10, 64)
	if err != nil || size < 0 || string(header[58:]) != "`\n" {
		return "", 0, fmt.Errorf("%q is no header of a package's member", header)
	}
	return strings.TrimSuffix(strings.TrimSpace(string(header[:16])), "/"), size, nil
}

func untar(name string, r io.Reader, spool *os.File) (*tree.Tree, error) {
	plain, err := decompress.Reader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t, err := tree.ReadTar(plain, spool)
	if err == nil {
		// The tar's end is not the end of the compressed stream: only the
		// latter tells whether its check sum fits.
		_, err = io.Copy(io.Discard, plain)
	}
	if err = errors.Join(err, plain.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}
