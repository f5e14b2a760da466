package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

const xattrRecord = "SCHILY.xattr."

// WriteTar writes all nodes but the root, sorted, every one with the time
// mtime and with numeric owners only: the same tree gives the same bytes.
func (t *Tree) WriteTar(w io.Writer, mtime time.Time) error {
	tw := tar.NewWriter(w)
	first := map[*Node]string{}
	for name, n := range t.All() {
		if name == "." {
			continue
		}
		if err := writeTarNode(tw, name, n, first[n], mtime.Truncate(time.Second)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if n.Mode.IsRegular() && first[n] == "" {
			first[n] = name
		}
	}
	return tw.Close()
}

func writeTarNode(tw *tar.Writer, name string, n *Node, linkedTo string, mtime time.Time) error {
	h := &tar.Header{Name: name, Mode: UnixMode(n.Mode), Uid: n.UID, Gid: n.GID, ModTime: mtime}
	for key, value := range n.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+key] = value
	}
	switch {
	case linkedTo != "":
		h.Typeflag, h.Linkname, h.PAXRecords = tar.TypeLink, linkedTo, nil
	case n.Mode.IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, n.Size
	case n.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case n.Mode.Type() == fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.Target
	case n.Mode&fs.ModeCharDevice != 0:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(n.Major), int64(n.Minor)
	case n.Mode&fs.ModeDevice != 0:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeBlock, int64(n.Major), int64(n.Minor)
	case n.Mode&fs.ModeNamedPipe != 0:
		h.Typeflag = tar.TypeFifo
	default:
		return fmt.Errorf("a tar cannot hold a %s", n.Mode.Type())
	}
	if err := tw.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	return copyContent(tw, n)
}

// copyContent writes a file's content, and sees to it that it has the size
// that was told.
func copyContent(w io.Writer, n *Node) error {
	r, err := n.Open()
	if err != nil {
		return err
	}
	copied, err := io.Copy(w, io.LimitReader(r, n.Size+1))
	if err == nil && copied != n.Size {
		err = fmt.Errorf("the content has not the %d bytes that it should have", n.Size)
	}
	return errors.Join(err, r.Close())
}

// UnixMode is the mode's Unix number without the type.
func UnixMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	for bit, unix := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			mode |= unix
		}
	}
	return mode
}

// ReadTar reads a whole tar. The contents go to the end of spool, which must
// stay open as long as the tree is used; where spool is nil they stay in
// memory. Members that would lie outside the tree are refused.
func ReadTar(r io.Reader, spool *os.File) (*Tree, error) {
	t := New()
	if err := readMembers(r, spool, func(*tar.Header) {}, t.addMember); err != nil {
		return nil, err
	}
	return t, nil
}

// ReadRootTar reads the tar of a root file system, as somebody has packed it:
// with absolute names, or with a folder in the place of a link or a file that
// it had before.
func ReadRootTar(r io.Reader, spool *os.File) (*Tree, error) {
	t := New()
	err := readMembers(r, spool, trimNames, func(m Member) error {
		if m.Node == nil {
			return t.addMember(m)
		}
		return t.Put(m.Name, m.Node)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// A Member is one member of a tar: a node, or another name of one.
type Member struct {
	Name   string
	Node   *Node
	LinkTo string // of a hard link, which has no Node
}

// ReadMembers reads a tar as ReadTar does, but gives its members one by one,
// in their order, to whoever knows better what to do with them. Absolute
// names, which some makers of container images write, are below the root.
func ReadMembers(r io.Reader, spool *os.File, take func(Member) error) error {
	return readMembers(r, spool, trimNames, take)
}

func trimNames(h *tar.Header) {
	h.Name = strings.TrimLeft(h.Name, "/")
	if h.Typeflag == tar.TypeLink {
		h.Linkname = strings.TrimLeft(h.Linkname, "/")
	}
	if h.Name == "" {
		h.Name = "."
	}
}

func readMembers(r io.Reader, spool *os.File, prepare func(*tar.Header), take func(Member) error) error {
	watched := &endWatch{Reader: r}
	tr := tar.NewReader(watched)
	for {
		h, err := tr.Next()
		if err == io.EOF && !watched.ended {
			return nil
		}
		if err != nil {
			return watched.explain(err)
		}
		prepare(h)
		if err := readMember(h, func(n *Node) error { return n.keep(tr, spool) }, take); err != nil {
			return fmt.Errorf("tar member %q: %w", h.Name, err)
		}
	}
}

// endWatch notices that a tar was read to its last byte. One that is whole
// never is: it ends with two blocks of zeros, for which nothing else is read.
// The tar package takes a tar without them for a whole one.
type endWatch struct {
	io.Reader
	ended bool
}

func (e *endWatch) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.ended = e.ended || n == 0 && err == io.EOF
	return n, err
}

func (e *endWatch) explain(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read tar: %w", err)
}

// memberName takes the "./" and the closing slash from a tar's name.
func memberName(name string) (string, error) {
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if strings.Contains("/"+name+"/", "/../") || name == "" {
		return "", fmt.Errorf("%q is no path inside the tree", name)
	}
	return clean, CheckName(clean)
}

func readMember(h *tar.Header, keep func(*Node) error, take func(Member) error) (err error) {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // a comment, as that of git archive
	}
	var m Member
	if m.Name, err = memberName(h.Name); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		if m.LinkTo, err = memberName(h.Linkname); err != nil {
			return fmt.Errorf("hard link: %w", err)
		}
		return take(m)
	}
	if m.Node, err = nodeOf(h); err != nil {
		return err
	}
	if m.Node.Mode.IsRegular() {
		if err := keep(m.Node); err != nil {
			return err
		}
	}
	return take(m)
}

func (t *Tree) addMember(m Member) error {
	if m.Node == nil {
		if m.Node = t.nodes[m.LinkTo]; m.Node == nil || m.Node.Mode.IsDir() {
			return fmt.Errorf("hard link to %q, which is no file before it", m.LinkTo)
		}
	}
	if m.Name == "." && m.Node.Mode.IsDir() {
		t.nodes["."] = m.Node
		return nil
	}
	return t.Add(m.Name, m.Node)
}

func nodeOf(h *tar.Header) (*Node, error) {
	// The holes of a sparse file cost nothing in the tar and all memory here.
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return nil, errors.New("sparse files are not taken")
		}
	}
	info := h.FileInfo()
	n := &Node{Mode: info.Mode(), UID: h.Uid, GID: h.Gid}
	switch h.Typeflag {
	case tar.TypeReg:
		n.Size = h.Size
	case tar.TypeSymlink:
		n.Mode, n.Target = fs.ModeSymlink|0o777, h.Linkname
	case tar.TypeChar, tar.TypeBlock:
		n.Major, n.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	case tar.TypeDir, tar.TypeFifo:
	default:
		return nil, fmt.Errorf("tar member of the unknown type %q", h.Typeflag)
	}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrRecord); ok {
			if n.Xattrs == nil {
				n.Xattrs = map[string]string{}
			}
			n.Xattrs[name] = value
		}
	}
	return n, nil
}

// Spooled is a regular file of root's whose content, which must have the size
// that is told, goes to the end of spool, or where that is nil to memory.
func Spooled(perm fs.FileMode, content io.Reader, size int64, spool *os.File) (*Node, error) {
	n := &Node{Mode: perm}
	if err := n.keep(content, spool); err != nil {
		return nil, err
	}
	if n.Size != size {
		return nil, fmt.Errorf("the content has %d bytes and should have %d", n.Size, size)
	}
	return n, nil
}

// keep stores the content for later.
func (n *Node) keep(content io.Reader, spool *os.File) error {
	if spool == nil {
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		*n = *File(n.Mode, data).With(n.Mode&^fs.ModeType, n.UID, n.GID).withXattrs(n.Xattrs)
		return nil
	}
	offset, err := spool.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	size, err := io.Copy(spool, content)
	n.Size = size
	n.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(spool, offset, size)), nil
	}
	return err
}

func (n *Node) withXattrs(x map[string]string) *Node {
	n.Xattrs = x
	return n
}
