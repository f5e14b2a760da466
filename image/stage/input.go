package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"
)

// An Input is something that a stage's output depends on. An input may have
// several parts, as a folder has files; each is told apart by a name.
type Input struct {
	stage string // of an input that is another stage's output
	parts func(ctx context.Context, g *Graph, x *index) (map[string]string, error)
}

// absent stands in the place of a hash for a file that is not there.
const absent = "absent"

// Value is a setting, or the version of a package.
func Value(name, value string) Input {
	return Func(name, func(context.Context) (string, error) { return value, nil })
}

// Func is a value that is asked for at each build; it must answer fast.
func Func(name string, value func(ctx context.Context) (string, error)) Input {
	return Input{parts: func(ctx context.Context, _ *Graph, _ *index) (map[string]string, error) {
		v, err := value(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return map[string]string{name: readable(v)}, nil
	}}
}

// readable keeps a short value as it is, so that Why can show it.
func readable(value string) string {
	if len(value) <= 100 && strings.IndexFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// File is a file's content and whether it is executable. A file that is not
// there is an input too: it may appear.
func File(name string) Input {
	return Input{parts: func(_ context.Context, _ *Graph, x *index) (map[string]string, error) {
		sum, err := x.file(name)
		return map[string]string{name: sum}, err
	}}
}

// Folder is all files below a folder: names, contents, executable or not, and
// where links point.
func Folder(name string) Input {
	return Input{parts: func(_ context.Context, _ *Graph, x *index) (map[string]string, error) { return x.folder(name, "") }}
}

// Tool is a program of the build machine, by its content: another version is
// another file.
func Tool(program string) Input {
	return Input{parts: func(_ context.Context, _ *Graph, x *index) (map[string]string, error) {
		name, err := exec.LookPath(program)
		if errors.Is(err, exec.ErrNotFound) {
			return map[string]string{"program " + program: absent}, nil
		}
		if err == nil {
			name, err = filepath.EvalSymlinks(name)
		}
		if err != nil {
			return nil, fmt.Errorf("program %s: %w", program, err)
		}
		sum, err := x.file(name)
		return map[string]string{"program " + program: sum}, err
	}}
}

// From is the output of another stage: these files of it, or all.
func From(stage string, files ...string) Input {
	return Input{stage: stage, parts: func(_ context.Context, g *Graph, x *index) (map[string]string, error) {
		if len(files) == 0 {
			return x.folder(g.Path(stage), stage)
		}
		parts := map[string]string{}
		for _, name := range files {
			more, err := x.fileOrFolder(g.Path(stage, name), filepath.Join(stage, name))
			if err != nil {
				return nil, err
			}
			maps.Copy(parts, more)
		}
		return parts, nil
	}}
}

// fileOrFolder hashes what is at name, and calls it by another name.
func (x *index) fileOrFolder(name, called string) (map[string]string, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return x.folder(name, called)
	}
	sum, err := x.file(name)
	return map[string]string{called: sum}, err
}

// folder hashes all files below name, which are called as they lie below
// called, or below name where that is empty.
func (x *index) folder(name, called string) (map[string]string, error) {
	if called == "" {
		called = name
	}
	parts := map[string]string{}
	err := filepath.WalkDir(name, func(at string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && at == name {
			parts[called] = absent
			return nil
		}
		if err != nil || d.IsDir() || filepath.Base(at) == recordName {
			return err
		}
		below, err := filepath.Rel(name, at)
		if err != nil {
			return err
		}
		part := filepath.Join(called, below)
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(at)
			parts[part] = "-> " + target
			return err
		}
		parts[part], err = x.file(at)
		return err
	})
	return parts, err
}

// inputs hashes all inputs of s. The part "recipe" is s.Recipe.
func (g *Graph) inputs(ctx context.Context, s Stage, x *index) (map[string]string, error) {
	all := map[string]string{"recipe": s.Recipe}
	for _, in := range s.Inputs {
		parts, err := in.parts(ctx, g, x)
		if err != nil {
			return nil, fmt.Errorf("look at what stage %s is made of: %w", s.Name, err)
		}
		for name, sum := range parts {
			if was, twice := all[name]; twice && was != sum {
				return nil, fmt.Errorf("stage %s has two inputs called %q", s.Name, name)
			}
			all[name] = sum
		}
	}
	return all, nil
}
