package upgrade

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A tree is what a command shows: keys in their order, with values or further
// trees. It is rendered as nested lines and as JSON, so that both always say
// the same.
type tree []field

type field struct {
	key   string
	value any // a string, a bool, a number, a []string or a tree
}

// add adds a field.
func (t *tree) add(key string, value any) { *t = append(*t, field{key, value}) }

// addSet adds a text that is not empty.
func (t *tree) addSet(key, value string) {
	if value != "" {
		t.add(key, value)
	}
}

// String renders lines, with four blanks for each level.
func (t tree) String() string {
	var b strings.Builder
	t.render(&b, "")
	return b.String()
}

func (t tree) render(b *strings.Builder, indent string) {
	for _, f := range t {
		switch v := f.value.(type) {
		case tree:
			fmt.Fprintf(b, "%s%s:\n", indent, f.key)
			v.render(b, indent+"    ")
		case []string:
			fmt.Fprintf(b, "%s%s: %s\n", indent, f.key, strings.Join(v, ","))
		default:
			// A line is a key, whatever an error says.
			fmt.Fprintf(b, "%s%s: %s\n", indent, f.key, strings.ReplaceAll(fmt.Sprint(v), "\n", "; "))
		}
	}
}

// MarshalJSON keeps the order of the keys.
func (t tree) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range t {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(f.key)
		if err != nil {
			return nil, err
		}
		value := f.value
		if list, ok := value.([]string); ok && list == nil {
			value = []string{}
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
