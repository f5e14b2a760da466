// Package settings is how tk is configured: by flags, which win over the
// environment, which wins over psyops.toml, which wins over the defaults.
//
// A table of Setting says what can be set. Load makes one value of it, which is
// handed around; flags take their defaults from it. It reads the file that it
// is given and the environment through a function, and writes nothing.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// FileName is what the file is called.
const FileName = "psyops.toml"

// A Kind says how a setting is written.
type Kind string

// The kinds. A relative Path in the file, and one that is the default, begins
// at the file's folder. A Place is a Path where it has a slash, or ./ or ../
// behind a scheme, and a word otherwise: cloud, ./kernel, oci:./image,
// pass:psyopsOS.
const (
	Text   Kind = "" // the zero value
	Path   Kind = "path"
	Place  Kind = "place"
	Number Kind = "number"
	Switch Kind = "switch" // true or false
)

// A Setting is one thing that can be set.
type Setting struct {
	Key     string // table and name in the file: build.kernel
	Kind    Kind
	List    bool     // any number of them
	Default []string // none is the empty text
	Env     []string // variables, of which the first that is not empty counts
	Flag    string   // without its dashes; empty: none
	Meaning string   // for help, and for the file that tk init makes; `x` names the value
	// Sample is what tk init's file shows where there is no default.
	Sample string
	Check  func(text string) error
	// InProfile: a profile ([vm.profile.NAME] for vm.*) may set it too.
	InProfile bool
}

// Table and Name are the two halves of the key.
func (s Setting) Table() string { table, _, _ := strings.Cut(s.Key, "."); return table }

// Name is the key within its table.
func (s Setting) Name() string { _, name, _ := strings.Cut(s.Key, "."); return name }

// A Source is what a value came from.
type Source string

// The sources, the strongest first.
const (
	FromFlag    Source = "flag"
	FromEnv     Source = "environment"
	FromProfile Source = "profile"
	FromFile    Source = "file"
	FromDefault Source = "default"
)

// A Value is a setting with what it is set to.
type Value struct {
	Setting
	Words  []string // one, but for a List
	Source Source
	Where  string // the variable, the file, the flag
}

// Settings are the values of a whole table. A *Settings does not change.
type Settings struct {
	File     string // empty: there is none
	order    []string
	values   map[string]Value
	profiles map[string]map[string][]string // table.NAME → name → words
}

// Find is the psyops.toml in dir or the nearest folder above it, and empty
// where there is none.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		name := filepath.Join(dir, FileName)
		if _, err := os.Stat(name); err == nil {
			return name, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", nil
		}
	}
}

// Defaults are the settings where nobody says anything.
func Defaults(table []Setting) *Settings {
	s := &Settings{values: map[string]Value{}, profiles: map[string]map[string][]string{}}
	for _, one := range table {
		s.order = append(s.order, one.Key)
		s.values[one.Key] = Value{one, one.Default, FromDefault, ""}
	}
	return s
}

// Load reads the file, which may be empty: there is none then, and the
// environment.
func Load(table []Setting, file string, getenv func(string) string) (*Settings, error) {
	s := Defaults(table)
	s.File = file
	if file != "" {
		if err := s.readFile(); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, key := range s.order {
		v := s.values[key]
		for _, name := range v.Env {
			text := getenv(name)
			if text == "" {
				continue
			}
			if err := s.put(key, v.split(text), FromEnv, name); err != nil {
				errs = append(errs, fmt.Errorf("%s=%s in the environment: %w", name, text, err))
			}
			break
		}
	}
	return s, errors.Join(errs...)
}

// split takes a variable apart: a list has commas.
func (v Setting) split(text string) []string {
	if !v.List {
		return []string{text}
	}
	return strings.Split(text, ",")
}

func (s *Settings) put(key string, words []string, source Source, where string) error {
	v := s.values[key]
	if err := v.Validate(words); err != nil {
		return err
	}
	v.Words, v.Source, v.Where = words, source, where
	s.values[key] = v
	return nil
}

// Validate says whether these words may be its value.
func (v Setting) Validate(words []string) error {
	for _, word := range words {
		var err error
		switch v.Kind {
		case Number:
			if _, err = strconv.Atoi(word); err != nil {
				err = fmt.Errorf("%q is no number", word)
			}
		case Switch:
			if _, err = strconv.ParseBool(word); err != nil {
				err = fmt.Errorf("%q is neither true nor false", word)
			}
		}
		if err == nil && v.Check != nil && word != "" {
			err = v.Check(word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// All are the values, in the table's order.
func (s *Settings) All() []Value {
	var all []Value
	for _, key := range s.order {
		all = append(all, s.Value(key))
	}
	return all
}

// Value is one value, with its paths made whole. A key that is not in the
// table is a mistake of the program.
func (s *Settings) Value(key string) Value {
	v, ok := s.values[key]
	if !ok {
		panic("no setting " + key)
	}
	if s.File != "" && (v.Source == FromFile || v.Source == FromProfile || v.Source == FromDefault) {
		v.Words = slices.Clone(v.Words)
		for i, word := range v.Words {
			v.Words[i] = v.below(filepath.Dir(s.File), word)
		}
	}
	return v
}

// below is word with its relative path begun at dir: a whole Path, a Place
// with a slash, and what stands behind a scheme as ./ or ../.
func (v Setting) below(dir, word string) string {
	scheme, rest := "", word
	if at := regexp.MustCompile(`^[a-z][a-z0-9+.-]+:`).FindString(word); v.Kind == Place && at != "" {
		scheme, rest = at, word[len(at):]
	}
	switch {
	case v.Kind != Path && v.Kind != Place, rest == "", filepath.IsAbs(rest):
		return word
	case scheme != "" && !strings.HasPrefix(rest, "./") && !strings.HasPrefix(rest, "../"):
		return word
	case v.Kind == Place && !strings.Contains(rest, "/"):
		return word
	}
	return scheme + filepath.Join(dir, rest)
}

// Text is a value that is no list.
func (s *Settings) Text(key string) string { return strings.Join(s.Value(key).Words, ",") }

// Words are a list's.
func (s *Settings) Words(key string) []string { return s.Value(key).Words }

// Number is a Number.
func (s *Settings) Number(key string) int {
	n, _ := strconv.Atoi(s.Text(key)) // checked when it was put there
	return n
}

// Yes is a Switch.
func (s *Settings) Yes(key string) bool {
	yes, _ := strconv.ParseBool(s.Text(key)) // checked when it was put there
	return yes
}

// With is s with a value given by a flag.
func (s *Settings) With(key string, words []string, flag string) *Settings {
	other := *s
	other.values = maps.Clone(s.values)
	v := other.values[key]
	v.Words, v.Source, v.Where = words, FromFlag, flag
	other.values[key] = v
	return &other
}

// Profiles are the names of a table's profiles.
func (s *Settings) Profiles(table string) []string {
	var names []string
	for key := range s.profiles {
		if t, name, _ := strings.Cut(key, "."); t == table {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Profile is s with what a profile of the table sets. The environment still
// wins: it is what a user says for one time.
func (s *Settings) Profile(table, name string) (*Settings, bool) {
	profile, ok := s.profiles[table+"."+name]
	if !ok {
		return s, false
	}
	other := *s
	other.values = maps.Clone(s.values)
	for key, words := range profile {
		v := other.values[table+"."+key]
		if v.Source == FromEnv {
			continue
		}
		v.Words, v.Source, v.Where = words, FromProfile, name
		other.values[table+"."+key] = v
	}
	return &other, true
}

// Typed is the value as JSON has it.
func (v Value) Typed() any {
	text := strings.Join(v.Words, ",")
	switch {
	case v.List:
		return append([]string{}, v.Words...)
	case v.Kind == Number:
		n, _ := strconv.Atoi(text) // checked when it was put there
		return n
	case v.Kind == Switch:
		yes, _ := strconv.ParseBool(text) // checked when it was put there
		return yes
	}
	return text
}
