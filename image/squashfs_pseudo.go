package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"psyopsOS/image/tree"
)

// writePseudo writes t as mksquashfs takes a whole file system from one file:
// a line for each node, then all contents. It has no place for extended
// attributes before release 4.6: tellTar is for trees that have some.
func writePseudo(w io.Writer, t *tree.Tree) error {
	b := bufio.NewWriterSize(w, 1<<20)
	contents, err := pseudoLines(b, t)
	if err != nil {
		return err
	}
	if _, err := b.WriteString("#\n# START OF DATA - DO NOT MODIFY\n#\n"); err != nil {
		return err
	}
	for _, c := range contents {
		if err := copyWhole(b, c.node); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return b.Flush()
}

type named struct {
	name string
	node *tree.Node
}

// pseudoLines writes the lines, and gives the regular files in the order in
// which their contents must follow.
func pseudoLines(w io.Writer, t *tree.Tree) (contents []named, err error) {
	first, offset := map[*tree.Node]string{}, int64(0)
	for name, n := range t.All() {
		quoted, err := quotePseudo(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if to, seen := first[n]; seen {
			if _, err := fmt.Fprintf(w, "%s L %s\n", quoted, to); err != nil {
				return nil, err
			}
			continue
		}
		kind, rest, err := pseudoKind(n, offset)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		// The time is -all-time's.
		if _, err := fmt.Fprintf(w, "%s %s 0 %o %d %d%s\n", quoted, kind, tree.UnixMode(n.Mode), n.UID, n.GID, rest); err != nil {
			return nil, err
		}
		if n.Mode.IsRegular() {
			contents, first[n] = append(contents, named{name, n}), quoted
			offset += n.Size
		}
	}
	return contents, nil
}

func pseudoKind(n *tree.Node, offset int64) (kind, rest string, err error) {
	switch {
	case n.Mode.IsRegular():
		return "R", fmt.Sprintf(" %d %d", n.Size, offset), nil
	case n.Mode.IsDir():
		return "D", "", nil
	case n.Mode.Type() == fs.ModeSymlink && !strings.Contains(n.Target, "\n"):
		return "S", " " + n.Target, nil
	case n.Mode&fs.ModeCharDevice != 0:
		return "C", fmt.Sprintf(" %d %d", n.Major, n.Minor), nil
	case n.Mode&fs.ModeDevice != 0:
		return "B", fmt.Sprintf(" %d %d", n.Major, n.Minor), nil
	case n.Mode&fs.ModeNamedPipe != 0:
		return "I", " f", nil
	}
	return "", "", fmt.Errorf("a squashfs cannot be given this %s", n.Mode.Type())
}

// quotePseudo escapes what mksquashfs would take for the end of a name.
func quotePseudo(name string) (string, error) {
	if name == "." {
		return "/", nil
	}
	if strings.ContainsAny(name, "\n\x00") {
		return "", errors.New("a name with a line's end cannot be written")
	}
	var b strings.Builder
	for i := range len(name) {
		if strings.IndexByte(" \t\v\f\r\"\\", name[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String(), nil
}

// copyWhole writes a content of just the size that was told.
func copyWhole(w io.Writer, n *tree.Node) error {
	r, err := n.Open()
	if err != nil {
		return err
	}
	copied, err := io.Copy(w, r)
	if err == nil && copied != n.Size {
		err = fmt.Errorf("the content has %d bytes and should have %d", copied, n.Size)
	}
	return errors.Join(err, r.Close())
}
