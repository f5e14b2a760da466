package boot

import "strings"

// matchPattern is fnmatch(3) without flags, byte by byte: * and ? match any
// character, also a slash; [a-f] one of a set, [!a-f] one that is not.
func matchPattern(pattern, s string) bool {
	// Only the last star ever needs to take in more: what an earlier one
	// matched cannot help the later part to match.
	star, retry := "", ""
	starred := false
	for {
		if strings.HasPrefix(pattern, "*") {
			pattern = pattern[1:]
			star, retry, starred = pattern, s, true
			continue
		}
		if pattern == "" && s == "" {
			return true
		}
		if rest, ok := matchOne(pattern, s); ok {
			pattern, s = rest, s[1:]
			continue
		}
		if !starred || retry == "" {
			return false
		}
		retry = retry[1:]
		pattern, s = star, retry
	}
}

// matchOne matches the first character of s with the beginning of pattern,
// which is no star, and gives the rest of pattern.
func matchOne(pattern, s string) (rest string, ok bool) {
	if pattern == "" || s == "" {
		return "", false
	}
	switch pattern[0] {
	case '?':
		return pattern[1:], true
	case '[':
		if rest, in, closed := matchSet(pattern[1:], s[0]); closed {
			return rest, in
		}
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	return pattern[1:], pattern[0] == s[0]
}

// matchSet looks for c in the set that begins after its bracket. A bracket
// without its partner is no set.
func matchSet(set string, c byte) (rest string, in, closed bool) {
	negated := false
	if set != "" && (set[0] == '!' || set[0] == '^') {
		negated, set = true, set[1:]
	}
	for first := true; set != ""; first = false {
		low := set[0]
		if low == ']' && !first {
			return set[1:], in != negated, true
		}
		high := low
		set = set[1:]
		if len(set) > 1 && set[0] == '-' && set[1] != ']' {
			high, set = set[1], set[2:]
		}
		in = in || low <= c && c <= high
	}
	return "", false, false
}
