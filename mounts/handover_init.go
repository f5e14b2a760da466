package mounts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// checkInit makes sure that the kernel will be able to execute the new init,
// and the program that it needs for that: the loader of a dynamic binary, or
// the interpreter of a script. Links are followed as they will lead then,
// inside the new root: /sbin/init is one to /bin/busybox.
func checkInit(newRoot, init string) error {
	return checkProgram(newRoot, init, 0, func(*os.File) {})
}

// ReadInitAhead has the kernel read the new init, and the program that it needs,
// before anybody waits for it: out of a squashfs that takes a processor. Its
// errors are those that a hand-over to it will have.
func ReadInitAhead(newRoot, init string) error {
	return checkProgram(newRoot, init, 0, func(program *os.File) {
		_ = unix.Fadvise(int(program.Fd()), 0, aheadBytes, unix.FADV_WILLNEED) // an advice
	})
}

// aheadBytes is more than a busybox or a loader has.
const aheadBytes = 4 << 20

// maxInterpreters is the kernel's limit for scripts of scripts.
const maxInterpreters = 4

// checkProgram shows each program that is fine.
func checkProgram(newRoot, name string, depth int, show func(*os.File)) error {
	if depth > maxInterpreters {
		return fmt.Errorf("%s: too many interpreters of interpreters", name)
	}
	program, err := openInRoot(newRoot, name)
	if err != nil {
		return err
	}
	defer program.Close()
	info, err := program.Stat()
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(program.Fd()), &fs); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s in %s is no regular file but %s", name, newRoot, info.Mode())
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s in %s is not executable (mode %s)", name, newRoot, info.Mode())
	case int64(fs.Flags)&unix.ST_NOEXEC != 0:
		return fmt.Errorf("%s in %s is not executable: its file system is mounted noexec", name, newRoot)
	}
	interpreter, err := interpreterOf(program)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", name, newRoot, err)
	}
	show(program)
	if interpreter == "" {
		return nil
	}
	if err := checkProgram(newRoot, interpreter, depth+1, show); err != nil {
		return fmt.Errorf("%s in %s needs %s: %w", name, newRoot, interpreter, err)
	}
	return nil
}

// openInRoot opens a file as a process would whose root newRoot is.
func openInRoot(newRoot, name string) (*os.File, error) {
	if !path.IsAbs(name) {
		return nil, fmt.Errorf("%q is no absolute path", name)
	}
	root, err := unix.Open(newRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", newRoot, err)
	}
	defer unix.Close(root)
	// Non-blocking, so that a fifo or a terminal does not hold us here.
	fd, err := unix.Openat2(root, name, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return nil, fmt.Errorf("open %s in %s: %w", name, newRoot, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// interpreterOf is the program that the kernel loads to run this one; empty of
// a static binary.
func interpreterOf(program io.ReaderAt) (string, error) {
	head := make([]byte, 256)
	n, err := program.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return elfInterpreter(program, head)
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := strings.Cut(string(head[2:]), "\n")
		if words := strings.Fields(line); len(words) > 0 {
			return words[0], nil
		}
		return "", errors.New("a script whose first line names no interpreter")
	}
	return "", errors.New("neither an ELF program nor a script")
}

// elfInterpreter finds PT_INTERP in a 64-bit little-endian program; of any
// other kind it says nothing. (debug/elf would add decompressors to PID 1.)
func elfInterpreter(program io.ReaderAt, head []byte) (string, error) {
	const interp, maxPath = 3, 4096
	le := binary.LittleEndian
	if len(head) < 64 || head[4] != 2 || head[5] != 1 {
		return "", nil
	}
	start, size, count := int64(le.Uint64(head[32:])), int64(le.Uint16(head[54:])), int64(le.Uint16(head[56:]))
	if size < 56 || start < 0 {
		return "", nil
	}
	segment := make([]byte, 56)
	for i := range count {
		if _, err := program.ReadAt(segment, start+i*size); err != nil {
			return "", fmt.Errorf("read its program headers: %w", err)
		}
		if le.Uint32(segment) != interp {
			continue
		}
		name := make([]byte, min(le.Uint64(segment[32:]), maxPath))
		if _, err := program.ReadAt(name, int64(le.Uint64(segment[8:]))); err != nil {
			return "", fmt.Errorf("read the name of its loader: %w", err)
		}
		return string(bytes.TrimRight(name, "\x00")), nil
	}
	return "", nil
}
