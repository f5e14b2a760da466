package debian

import (
	"bytes"
	"iter"
	"strings"
)

// Paragraphs takes apart what is written as Debian's control files are
// (deb822(5)): paragraphs with empty lines between them, of lines KEY: VALUE.
// Each comes as its fields, by key; of a longer value only the first line, of a
// key that comes again the first. apk's database of installed packages reads
// the same way. Paragraphs without a field are left out.
func Paragraphs(text []byte) iter.Seq[map[string]string] {
	return func(yield func(map[string]string) bool) {
		for paragraph := range bytes.SplitSeq(text, []byte("\n\n")) {
			fields := map[string]string{}
			for line := range bytes.Lines(paragraph) {
				key, value, found := strings.Cut(strings.TrimRight(string(line), "\r\n"), ":")
				if !found || strings.TrimSpace(key) != key {
					continue // a line of a longer value
				}
				if _, again := fields[key]; !again {
					fields[key] = strings.TrimSpace(value)
				}
			}
			if len(fields) > 0 && !yield(fields) {
				return
			}
		}
	}
}
