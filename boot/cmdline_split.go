package boot

import "strings"

// A word is one word of a kernel command line.
type word struct {
	key, value string
	hasValue   bool // "key=" has an empty one
	negated    bool // "nokey"; only in words that this package knows
}

// splitCmdline splits a line exactly as the kernel does, since both read the
// same one: a double quote anywhere switches whether blanks separate, and
// only a quote that begins the word or its value is taken off, with the one
// that ends it. What follows a bare "--" is for the new init alone.
func splitCmdline(line string) (words, afterDashes []word) {
	all := &words
	for {
		line = strings.TrimLeft(line, blanks)
		if line == "" {
			return words, afterDashes
		}
		var w word
		w, line = nextWord(line)
		if all == &words && w == (word{key: "--"}) {
			all = &afterDashes
			continue
		}
		*all = append(*all, w)
	}
}

const blanks = " \t\n\v\f\r"

// nextWord cuts the first word off a line that begins with it.
func nextWord(line string) (word, string) {
	line, wholeQuoted := strings.CutPrefix(line, `"`)
	end, equals := wordEnd(line, wholeQuoted)
	text, rest := line[:end], line[end:]
	if equals == 0 {
		return word{key: unquoteEnd(text, wholeQuoted)}, rest
	}
	value, valueQuoted := strings.CutPrefix(text[equals+1:], `"`)
	value = unquoteEnd(unquoteEnd(value, valueQuoted), wholeQuoted)
	return word{key: text[:equals], value: value, hasValue: true}, rest
}

// wordEnd finds the blank that ends the word and the first = that is not its
// first character; 0 where there is none.
func wordEnd(line string, inQuotes bool) (end, equals int) {
	for i := range len(line) {
		switch c := line[i]; {
		case strings.IndexByte(blanks, c) >= 0 && !inQuotes:
			return i, equals
		case c == '=' && equals == 0:
			equals = i
		case c == '"':
			inQuotes = !inQuotes
		}
	}
	return len(line), equals
}

func unquoteEnd(s string, quoted bool) string {
	if quoted {
		return strings.TrimSuffix(s, `"`)
	}
	return s
}
