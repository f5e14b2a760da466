package shell

import (
	"errors"
	"fmt"
	"strings"

	"psyopsOS/step"
)

// Facts are what the boot knows besides the failure itself.
type Facts struct {
	Program string   // who speaks: "psyopsOS 0123abcd"
	Side    string   // the label of the side that is booted, or empty
	Why     string   // why the boot loader chose it: psyopsos.boot=
	Seen    []string // a line each: the volumes that were found
	Done    []string // the steps that went well, in order
	Asked   string   // without a failure: the kernel word that asked for the shell
	Next    string   // what leaving the shell does, as "goes on with mount psyopsOS-A"
}

// width of a line: a serial line's terminal has 80 columns.
const width = 78

// Banner is what a person reads before the shell: what failed, what was seen,
// and the three commands that most likely help. failure is nil where the shell
// was asked for.
func Banner(failure *step.Error, f Facts) string {
	rule := strings.Repeat("=", width) + "\n"
	var b strings.Builder
	b.WriteString("\n" + rule)
	b.WriteString(what(failure, f))
	if seen := seen(f); seen != "" {
		b.WriteString("\n" + seen)
	}
	b.WriteString("\nThese may help:\n")
	for _, c := range Suggest(failure) {
		fmt.Fprintf(&b, "  %-34s %s\n", c.Line, c.Why)
	}
	if f.Next != "" {
		fmt.Fprintf(&b, "Leaving the shell %s.\n", f.Next)
	}
	return b.String() + rule
}

// what says why there is a shell.
func what(failure *step.Error, f Facts) string {
	if failure == nil {
		return fmt.Sprintf("%s: the emergency shell, as %s asks\n", f.Program, f.Asked)
	}
	return fmt.Sprintf("%s: this boot failed\n\n", f.Program) +
		field("failed", failure.Step) +
		field("because", cause(failure.Err)) +
		field("hint", step.HintOf(failure.Err))
}

// seen says how far the boot came.
func seen(f Facts) string {
	return field("booting", booting(f)) +
		field("went well", strings.Join(f.Done, ", ")) +
		field("seen", strings.Join(f.Seen, "\n"))
}

func booting(f Facts) string {
	if f.Side == "" || f.Why == "" {
		return f.Side
	}
	return fmt.Sprintf("%s (%s)", f.Side, f.Why)
}

// cause is the error in words, without the stack of a panic: that is in
// boot.json.
func cause(err error) string {
	if p := (*step.Panic)(nil); errors.As(err, &p) {
		return p.Error()
	}
	return err.Error()
}

// field is a name and its text, folded to the width and aligned; nothing for an
// empty text.
func field(name, text string) string {
	const indent = 12
	if text == "" {
		return ""
	}
	lines := fold(text, width-indent)
	return fmt.Sprintf("%*s  %s\n", indent-2, name, strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
}

// fold breaks each line of text between words, so that it fits where it can.
// What a terminal would obey, as an escape, is taken out: text may come from a
// disk that nobody vouches for.
func fold(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""
		for word := range strings.FieldsSeq(strings.Map(printable, paragraph)) {
			switch {
			case line == "":
				line = word
			case len(line)+1+len(word) > width:
				lines = append(lines, line)
				line = word
			default:
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func printable(r rune) rune {
	if r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0) {
		return r
	}
	return '?'
}
