package settings

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"psyopsOS/step"
)

// maxFile bounds the file.
const maxFile = 1 << 20

func (s *Settings) readFile() error {
	f, err := os.Open(s.File)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if len(text) > maxFile {
		return fmt.Errorf("%s: more than %d bytes", s.File, maxFile)
	}
	if err := s.parse(string(text)); err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	return nil
}

// parse takes over what a file says.
func (s *Settings) parse(text string) error {
	var tables map[string]any
	if _, err := toml.Decode(text, &tables); err != nil {
		var where toml.ParseError
		if errors.As(err, &where) {
			return fmt.Errorf("line %d: %s", where.Position.Line, where.Message)
		}
		return err
	}
	var errs []error
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		entries, ok := tables[table].(map[string]any)
		switch {
		case !ok:
			errs = append(errs, s.unknown("the key "+table+" outside of a table", table, s.order))
		case !slices.Contains(s.tables(), table):
			errs = append(errs, s.unknown("the table ["+table+"]", table, s.tables()))
		default:
			errs = append(errs, s.readTable(table, entries))
		}
	}
	return errors.Join(errs...)
}

func (s *Settings) tables() []string {
	var names []string
	for _, key := range s.order {
		names = append(names, s.values[key].Table())
	}
	return slices.Compact(names)
}

// unknown is the error of a wrong key, with the nearest right one.
func (s *Settings) unknown(what, typed string, names []string) error {
	return step.WithHint(fmt.Errorf("%s is no setting", what), "the nearest is %s; `tk showconfig` lists all", step.Nearest(typed, names))
}

func (s *Settings) readTable(table string, entries map[string]any) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		key := table + "." + name
		if name == "profile" && s.hasProfiles(table) {
			errs = append(errs, s.readProfiles(table, entries[name]))
			continue
		}
		if _, ok := s.values[key]; !ok {
			errs = append(errs, s.unknown(key, key, s.order))
			continue
		}
		words, err := s.values[key].words(entries[name])
		if err == nil {
			err = s.put(key, words, FromFile, s.File)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Settings) hasProfiles(table string) bool {
	return slices.ContainsFunc(s.order, func(key string) bool { return s.values[key].Table() == table && s.values[key].InProfile })
}

func (s *Settings) readProfiles(table string, value any) error {
	profiles, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s.profile: want tables [%s.profile.NAME]", table, table)
	}
	var known []string
	for _, key := range s.order {
		if v := s.values[key]; v.Table() == table && v.InProfile {
			known = append(known, v.Name())
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		at := table + ".profile." + name
		entries, ok := profiles[name].(map[string]any)
		if !ok {
			errs = append(errs, fmt.Errorf("%s: want a table [%s]", at, at))
			continue
		}
		profile := map[string][]string{}
		for _, entry := range slices.Sorted(maps.Keys(entries)) {
			if !slices.Contains(known, entry) {
				errs = append(errs, s.unknown(at+"."+entry, entry, known))
				continue
			}
			setting := s.values[table+"."+entry].Setting
			words, err := setting.words(entries[entry])
			if err = errors.Join(err, setting.Validate(words)); err != nil {
				errs = append(errs, fmt.Errorf("%s.%s: %w", at, entry, err))
			}
			profile[entry] = words
		}
		s.profiles[table+"."+name] = profile
	}
	return errors.Join(errs...)
}

// words are a value of the file in our form.
func (v Setting) words(value any) ([]string, error) {
	if list, ok := value.([]any); ok && v.List {
		words := []string{}
		for _, one := range list {
			word, err := v.word(one)
			if err != nil {
				return nil, err
			}
			words = append(words, word)
		}
		return words, nil
	}
	if v.List {
		return nil, fmt.Errorf("want a list: [%s]", v.example())
	}
	word, err := v.word(value)
	return []string{word}, err
}

func (v Setting) word(value any) (string, error) {
	switch value := value.(type) {
	case string:
		if v.Kind == Text || v.Kind == Path || v.Kind == Place {
			return value, nil
		}
	case int64:
		if v.Kind == Number {
			return strconv.FormatInt(value, 10), nil
		}
	case bool:
		if v.Kind == Switch {
			return strconv.FormatBool(value), nil
		}
	}
	return "", fmt.Errorf("%v: want %s", value, v.example())
}

func (v Setting) example() string {
	switch v.Kind {
	case Number:
		return "a number"
	case Switch:
		return "true or false"
	}
	return `a text in quotes`
}

// Render is a file with every setting of the table, its meaning above it. What
// set does not have is a comment that shows the default.
func Render(table []Setting, head string, set map[string][]string, tail string) string {
	var b strings.Builder
	b.WriteString(head)
	last := ""
	for _, s := range table {
		if s.Table() != last {
			last = s.Table()
			fmt.Fprintf(&b, "\n[%s]\n", last)
		}
		fmt.Fprintf(&b, "# %s\n", strings.ReplaceAll(s.Meaning, "`", ""))
		words, ok := set[s.Key]
		if !ok {
			b.WriteString("#")
			words = s.Default
			if len(words) == 0 && s.Sample != "" {
				words = s.split(s.Sample)
			}
		}
		fmt.Fprintf(&b, "%s = %s\n", s.Name(), s.literal(words))
	}
	b.WriteString(tail)
	return b.String()
}

// literal is how a value is written in the file.
func (v Setting) literal(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if v.Kind != Number && v.Kind != Switch {
			quoted[i] = quote(word)
		}
	}
	switch {
	case v.List:
		return "[" + strings.Join(quoted, ", ") + "]"
	case len(quoted) == 0:
		return `""`
	}
	return quoted[0]
}

// quote is a TOML string. JSON's escapes are TOML's too.
func quote(text string) string {
	if !strings.ContainsAny(text, "'\n") && strings.ContainsAny(text, `"\`) {
		return "'" + text + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
