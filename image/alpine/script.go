package alpine

import (
	"slices"
	"strings"
)

// A script is what remains of a package's script: the lines that make
// accounts, and those that nobody will run.
type script struct {
	accounts [][]string // words of adduser and addgroup commands
	undone   []string
}

// readScript understands lines that are one command of plain words. Anything
// with an expansion or a condition in it is left undone, and so is told.
func readScript(text []byte) script {
	var s script
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	depth := 0 // of conditions, loops and functions; what is in them may not happen
	for line := range strings.Lines(joined) {
		for command := range strings.SplitSeq(stripComment(line), ";") {
			words, plain := commandWords(command)
			depth += nesting(words, command)
			switch {
			case len(words) == 0 || idle(words):
			case plain && depth == 0 && (words[0] == "adduser" || words[0] == "addgroup"):
				s.accounts = append(s.accounts, words)
			default:
				s.undone = append(s.undone, strings.TrimSpace(command))
			}
		}
	}
	return s
}

// nesting is how much deeper a command leads. Out of a here-document nothing
// leads.
func nesting(words []string, command string) int {
	if strings.Contains(command, "<<") {
		return 1 << 20
	}
	if len(words) == 0 {
		return 0
	}
	switch words[0] {
	case "if", "for", "while", "until", "case":
		return 1
	case "fi", "done", "esac", "}":
		return -1
	}
	if words[len(words)-1] == "{" {
		return 1
	}
	return 0
}

func stripComment(line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return ""
	}
	line, _, _ = strings.Cut(line, " #")
	return line
}

// idle commands change nothing.
func idle(words []string) bool {
	switch words[0] {
	case "exit", "true", ":", "set", "echo", "fi", "done", "esac", "return", "}":
		return true
	case "then", "else":
		return len(words) == 1
	}
	return false
}

// commandWords splits a command into words, and takes off redirections and
// `|| true`. plain says that they mean what they say.
func commandWords(command string) (words []string, plain bool) {
	for _, ending := range []string{"|| true", "|| :", "|| exit 0"} {
		command = strings.TrimSuffix(strings.TrimSpace(command), ending)
	}
	word, quote, open := "", rune(0), false
	for _, c := range command {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if open || word != "" {
				words = append(words, word)
			}
			word, open = "", false
		default:
			word += string(c)
		}
	}
	if open || word != "" {
		words = append(words, word)
	}
	words = slices.DeleteFunc(words, isRedirection)
	plain = quote == 0 && !strings.ContainsAny(strings.Join(words, " "), "$`|&<>(){}*?[]\\")
	return words, plain
}

func isRedirection(word string) bool {
	return slices.Contains([]string{">/dev/null", "1>/dev/null", "2>/dev/null", "2>&1", "&>/dev/null", ">&2"}, word)
}
