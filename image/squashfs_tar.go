package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"psyopsOS/image/tree"
)

// hasXattrs reports whether a node of t has extended attributes: capabilities
// of programs in most images, as ping's.
func hasXattrs(t *tree.Tree) bool {
	for _, n := range t.All() {
		if len(n.Xattrs) > 0 {
			return true
		}
	}
	return false
}

// tellTar is the command that makes the squashfs temp of a tar. mksquashfs
// gives the root folder its own user as owner then, whatever it is told
// (4.5.1): it is run as the root of a user namespace of its own, in which it
// is nobody else outside.
func tellTar(ctx context.Context, t *tree.Tree, temp, told string) (*exec.Cmd, error) {
	root, _ := t.Get(".")
	if root.UID != 0 || root.GID != 0 {
		return nil, fmt.Errorf("the root folder belongs to %d:%d and not to root", root.UID, root.GID)
	}
	if len(root.Xattrs) > 0 {
		return nil, errors.New("mksquashfs takes no extended attributes of the root folder")
	}
	if err := replaceFile(told, func(w io.Writer) error { return t.WriteTar(w, time.Unix(0, 0)) }); err != nil {
		return nil, err
	}
	f, err := os.Open(told)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "mksquashfs", "-", temp, "-tar", "-xattrs",
		"-root-mode", fmt.Sprintf("%o", tree.UnixMode(root.Mode)))
	cmd.Stdin = f
	if os.Geteuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}}
	}
	return cmd, nil
}
