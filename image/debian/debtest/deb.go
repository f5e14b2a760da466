// Package debtest makes Debian packages for tests.
package debtest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"psyopsOS/image/tree"
)

// Deb is a package with these files, of mode 0755; a name that ends with a
// slash is a folder, a content that begins with "-> " a symbolic link. The
// data member is compressed as its name, as "data.tar.xz", says.
func Deb(member string, files map[string]string) ([]byte, error) {
	t := tree.New()
	for name, content := range files {
		n := tree.File(0o755, []byte(content))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			n = tree.Symlink(target)
		} else if strings.HasSuffix(name, "/") {
			n = tree.Dir(0o755)
		}
		if err := t.Add(strings.TrimSuffix(name, "/"), n); err != nil {
			return nil, err
		}
	}
	data, err := compressed(member, func(w io.Writer) error { return t.WriteTar(w, time.Unix(0, 0)) })
	if err != nil {
		return nil, err
	}
	deb := bytes.NewBufferString("!<arch>\n")
	addMember(deb, "debian-binary", []byte("2.0\n"))
	addMember(deb, "control.tar.gz", []byte("nobody reads it")) // of odd length: a padding byte follows
	addMember(deb, member, data)
	return deb.Bytes(), nil
}

func addMember(deb *bytes.Buffer, name string, content []byte) {
	fmt.Fprintf(deb, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", name, 0, 0, 0, "100644", len(content), content)
	if len(content)%2 == 1 {
		deb.WriteByte('\n')
	}
}

func compressed(member string, write func(io.Writer) error) ([]byte, error) {
	var data bytes.Buffer
	var w io.WriteCloser
	var err error
	switch path.Ext(member) {
	case ".gz":
		w = gzip.NewWriter(&data)
	case ".xz":
		w, err = xz.NewWriter(&data)
	case ".zst":
		w, err = zstd.NewWriter(&data)
	default:
		err = write(&data)
		return data.Bytes(), err
	}
	if err != nil {
		return nil, err
	}
	err = errors.Join(write(w), w.Close())
	return data.Bytes(), err
}
