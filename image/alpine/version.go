package alpine

import (
	"cmp"
	"strings"
)

// kind is what a part of a version is. Where two versions differ in kind, the
// one whose kind comes first is the newer: 1.0.1 is newer than 1.0a.
type kind int

const (
	firstNumber kind = iota
	number
	letter
	suffix
	suffixNumber
	commit
	revision
	end
	invalid
)

type part struct {
	kind kind
	text string
}

// suffixes in the order of age; those before the empty one come before the
// release itself.
const suffixes = " alpha beta pre rc  cvs svn git hg p "

func suffixAge(text string) int { return strings.Index(suffixes, " "+text+" ") }

func isEarly(p part) bool { return p.kind == suffix && suffixAge(p.text) < suffixAge("") }

// parts takes a version apart: 1.2b_rc3_git5~0af-r6 is 1, 2, b, rc, 3, git,
// 5, 0af, 6. It ends with a part of kind end or invalid.
func parts(version string) []part {
	var all []part
	next := func(k kind, letters string) bool {
		rest := strings.TrimLeft(version, letters)
		text := version[:len(version)-len(rest)]
		version = rest
		all = append(all, part{k, text})
		return text != ""
	}
	const digits, small = "0123456789", "abcdefghijklmnopqrstuvwxyz"
	ok := next(firstNumber, digits)
	for ok && version != "" {
		last := all[len(all)-1].kind
		sign, rest := version[:1], version[1:]
		switch {
		case sign == "." && last <= number:
			version = rest
			ok = next(number, digits)
		case strings.Contains(digits, sign) && last == letter: // 0.99f7
			ok = next(number, digits)
		case strings.Contains(small, sign) && last <= number:
			version = rest
			all = append(all, part{letter, sign})
		case sign == "_" && last <= suffixNumber:
			version = rest
			ok = next(suffix, small) && suffixAge(all[len(all)-1].text) >= 0
			if ok && version != "" && strings.Contains(digits, version[:1]) {
				next(suffixNumber, digits)
			}
		case sign == "~" && last < commit:
			version = rest
			ok = next(commit, digits+"abcdef")
		case strings.HasPrefix(version, "-r") && last < revision:
			version = version[2:]
			ok = next(revision, digits)
		default:
			ok = false
		}
	}
	if !ok {
		return append(all, part{invalid, version})
	}
	return append(all, part{kind: end})
}

// ValidVersion reports whether text is a version as Alpine writes them.
func ValidVersion(text string) bool {
	all := parts(text)
	return all[len(all)-1].kind == end
}

// Compare orders versions: negative where a is the older one.
func Compare(a, b string) int { return compare(a, b, false) }

// compare with fuzzy takes a for b where it begins with b's parts: 1.2.3 for
// 1.2.
func compare(a, b string, fuzzy bool) int {
	as, bs := parts(a), parts(b)
	for i := range min(len(as), len(bs)) {
		x, y := as[i], bs[i]
		if fuzzy && y.kind == end {
			return 0
		}
		if x.kind != y.kind {
			switch {
			case isEarly(x):
				return -1
			case isEarly(y):
				return 1
			}
			return cmp.Compare(y.kind, x.kind)
		}
		if order := compareParts(x, y); order != 0 {
			return order
		}
	}
	return 0
}

func compareParts(x, y part) int {
	switch x.kind {
	case suffix:
		return cmp.Compare(suffixAge(x.text), suffixAge(y.text))
	case number:
		// With a zero in front it is a decimal fraction: 1.05 is older than 1.1.
		if strings.HasPrefix(x.text, "0") || strings.HasPrefix(y.text, "0") {
			return strings.Compare(x.text, y.text)
		}
		return compareNumbers(x.text, y.text)
	case firstNumber, suffixNumber, revision:
		return compareNumbers(x.text, y.text)
	}
	return strings.Compare(x.text, y.text)
}

// compareNumbers has no bound: versions with dates and hashes are long.
func compareNumbers(x, y string) int {
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
}
