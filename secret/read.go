package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"psyopsOS/step"
)

// What is read of a volume is bounded: all of it is copied to RAM, and a
// volume that was filled by mistake must not cost a boot.
const (
	FileLimit    = 1 << 20  // bytes of one file
	TotalLimit   = 16 << 20 // bytes of all files: what the copies need at most
	nameLimit    = 4 << 10  // bytes of nodename
	entriesLimit = 1000     // files and folders
)

// Read reads a volume. Whatever it cannot read or understand is left out and
// told; each file is tolerated one by one. Only regular files are read: a link
// or a device on the volume could lead anywhere.
func Read(fsys fs.FS) (Node, []error) {
	r := reader{fsys: fsys, left: TotalLimit, node: Unconfigured()}
	r.node.Files = map[string]Entry{}
	known := append(Known(), TestingEnv)
	for _, name := range known {
		r.known(name)
	}
	r.others(known)
	r.understand()
	return r.node, r.warnings
}

type reader struct {
	fsys     fs.FS
	node     Node
	left     int64 // bytes that may still be read
	warnings []error
}

func (r *reader) warn(err error, hint string) {
	r.warnings = append(r.warnings, step.WithHint(err, "%s", hint))
}

const hintVolume = "look at the volume from another machine, or write it anew with `tk node`"

// known reads a file that this program knows. Its text may have come from a
// system that ends lines with CR LF.
func (r *reader) known(name string) {
	info, err := fs.Lstat(r.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.warn(fmt.Errorf("psyops-secret: %w", err), hintVolume)
		return
	}
	data, ok := r.file(name, info)
	if !ok {
		return
	}
	if plain := bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")); len(plain) != len(data) {
		data = plain
		if name != NodenameFile {
			r.warn(fmt.Errorf("psyops-secret: the lines of %s end with CR LF; LF alone is used", name),
				"save it with Unix line ends")
		}
	}
	r.keep(name, info, data)
}

// others reads what else is on the volume: its owner may want it there.
func (r *reader) others(known []string) {
	entries := 0
	err := fs.WalkDir(r.fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if entries++; entries > entriesLimit {
			r.warn(fmt.Errorf("psyops-secret has more than %d files; the rest is not read", entriesLimit), hintVolume)
			return fs.SkipAll
		}
		switch {
		case err != nil:
			r.warn(fmt.Errorf("psyops-secret: %w", err), hintVolume)
			return nil // what could be listed is read
		case d.IsDir() && path == "lost+found":
			return fs.SkipDir
		case d.IsDir() || slices.Contains(known, path):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			r.warn(fmt.Errorf("psyops-secret: %w", err), hintVolume)
			return nil
		}
		if data, ok := r.file(path, info); ok {
			r.keep(path, info, data)
		}
		return nil
	})
	if err != nil {
		r.warn(fmt.Errorf("psyops-secret: %w", err), hintVolume)
	}
}

// file reads one file within the limits.
func (r *reader) file(name string, info fs.FileInfo) ([]byte, bool) {
	limit := min(r.left, FileLimit)
	if name == NodenameFile {
		limit = min(r.left, nameLimit)
	}
	data, err := readBounded(r.fsys, name, info, limit)
	if err != nil {
		r.warn(fmt.Errorf("psyops-secret: %q is not used: %w", name, err), hintVolume)
		return nil, false
	}
	return data, true
}

func readBounded(fsys fs.FS, name string, info fs.FileInfo, limit int64) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is not a regular file (%s)", info.Mode())
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("it has %s, more than %s", step.Bytes(info.Size()), step.Bytes(limit))
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it has more than %s", step.Bytes(limit))
	}
	return data, err
}

func (r *reader) keep(name string, info fs.FileInfo, data []byte) {
	r.left -= int64(len(data))
	r.node.Files[name] = Entry{Data: Hide(data), Executable: info.Mode()&0o100 != 0}
}

// understand takes from the files what the node is.
func (r *reader) understand() {
	name, err := parseNodename(r.node.Files[NodenameFile].Data.Reveal())
	switch {
	case err != nil:
		r.warn(fmt.Errorf("psyops-secret: nodename is refused: %w", err), "a node's name has letters, digits, dots, dashes and underscores only")
		delete(r.node.Files, NodenameFile)
	case name != "":
		r.node.Name = name
	}
	if r.node.Toor = wantsToor(r.node.Files[TestingEnv].Data.Reveal()); r.node.Toor {
		r.warn(fmt.Errorf("psyops-secret: %s adds the user toor, a root without a password", TestingEnv),
			"remove that file from a machine that anybody but you can reach")
	}
}
