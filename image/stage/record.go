package stage

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recordName is the file in a stage's folder that tells what it was made of.
// It lies inside, so that output and record appear at once.
const recordName = ".stage.json"

// A record tells what a stage's output was made of.
type record struct {
	Stage   string            `json:"stage"`
	Inputs  map[string]string `json:"inputs"`
	Outputs map[string]output `json:"outputs"`
	Outside map[string]output `json:"outside,omitempty"` // by whole paths
	Because []string          `json:"because"`           // why it ran
}

// An output is a file that the stage made, as it was left.
type output struct {
	Size  int64 `json:"size"`
	MTime int64 `json:"mtime"`
}

// A Change is a reason for which a stage has to run, or did.
type Change struct {
	Input   string // or the name of an output
	Was, Is string // values or hashes; empty where there is none
	Text    string
}

func (c Change) String() string { return c.Text }

func readRecord(dir string) (record, bool) {
	var r record
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	return r, err == nil && json.Unmarshal(data, &r) == nil
}

func (r record) write(dir string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, recordName), append(data, '\n'), 0o644)
}

// outputsIn lists the files below dir.
func outputsIn(dir string) (map[string]output, error) {
	found := map[string]output{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == recordName {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, at)
		found[name] = output{info.Size(), info.ModTime().UnixNano()}
		return err
	})
	return found, err
}

// changes says why the output in dir is not what these inputs would make;
// none means that it is.
func changes(dir string, inputs map[string]string) ([]Change, error) {
	r, ok := readRecord(dir)
	if !ok {
		return []Change{{Text: "it was never made"}}, nil
	}
	list := compareInputs(r.Inputs, inputs)
	found, err := outputsIn(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		is, there := found[name]
		if !there {
			list = append(list, Change{Input: name, Text: name + " is no longer there"})
		} else if is != r.Outputs[name] {
			list = append(list, Change{Input: name, Text: name + " was changed after it was made"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Outside)) {
		info, err := os.Lstat(name)
		if err != nil {
			list = append(list, Change{Input: name, Text: name + " is no longer there"})
		} else if (output{info.Size(), info.ModTime().UnixNano()}) != r.Outside[name] {
			list = append(list, Change{Input: name, Text: name + " was changed after it was made"})
		}
	}
	return list, nil
}

func compareInputs(was, is map[string]string) []Change {
	var list []Change
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		old, had := was[name]
		now, has := is[name]
		if had && has && old == now {
			continue
		}
		list = append(list, Change{name, old, now, describe(name, old, now, had, has)})
	}
	return list
}

func describe(name, was, is string, had, has bool) string {
	switch {
	case !had && is == absent, had && is == absent:
		return name + " is not there"
	case !had:
		return name + " is new"
	case !has:
		return name + " is gone"
	case isHash(was) || isHash(is):
		return name + " changed"
	}
	return fmt.Sprintf("%s was %q and is %q", name, was, is)
}

func isHash(s string) bool {
	return len(strings.TrimSuffix(s, "x")) == 64 && strings.Trim(s, "0123456789abcdefx") == ""
}

func texts(list []Change) []string {
	var all []string
	for _, c := range list {
		all = append(all, c.Text)
	}
	return all
}
