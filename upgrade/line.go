package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// Where the line is shown. The image's /etc/profile.d/zz-psyopsos.sh prints
// layout.StatusLine at each login and puts layout.StatusPrompt into the prompt.
const (
	issueFile   = "/etc/issue"
	issuePrefix = "psyopsOS: "
	// issueMost keeps the line on one line of a screen, with its prefix.
	issueMost = 240
)

// line is the status in one line.
func (l Loader) line(report boot.Report, p Postboot, problems string) string {
	if report.Side == "" {
		return oneLine(append([]string{"root= of the command line, no side"}, p.words()...))
	}
	release, _ := report.Facts["release"].(string)
	parts := []string{strings.TrimSpace(string(report.Side)+" "+release) + ", " + l.standing(report)}
	switch {
	case l.Picked == 0:
		parts = append(parts, fmt.Sprintf("the boot loader's state cannot be read: %v", l.Missing))
	case l.onTrial() && l.State.Try != report.Side:
		parts = append(parts, fmt.Sprintf("%s goes on trial with the next restart", l.State.Try))
	}
	if failed := l.failed(report).String(); failed != "" && l.Picked != 0 {
		parts = append(parts, "last failure: "+failed)
	}
	if problems != "" {
		parts = append(parts, "not healthy: "+problems)
	}
	return oneLine(append(parts, p.words()...))
}

func oneLine(parts []string) string {
	line := strings.Join(strings.Fields(strings.Join(parts, "; ")), " ")
	if len(line) > issueMost {
		line = strings.ToValidUTF8(line[:issueMost-3], "") + "..."
	}
	return line
}

// standing is what the side that runs is to the boot loader.
func (l Loader) standing(report boot.Report) string {
	switch why := bootstate.Why(report.Why); {
	case why.IsTrial() && l.Picked != 0 && l.State.Good == report.Side:
		return "committed"
	case why.IsTrial() && l.Picked != 0 && l.State.Try == report.Side:
		return fmt.Sprintf("on trial, not committed, %d tries left", l.triesLeft())
	case why.IsTrial():
		return "on trial"
	case why == bootstate.Good:
		return "the default"
	case why == bootstate.Fallback:
		return "the fallback: the default did not come up healthy"
	case why == bootstate.LastResort:
		return "the last resort of the boot loader"
	}
	return "chosen by hand"
}

// promptWords are in the prompt of every shell while what runs is not the
// committed side, is not healthy, or was not configured to the end.
func (l Loader) promptWords(report boot.Report, p Postboot, problems string) string {
	words := l.promptWord(report)
	if problems != "" {
		words += "(unhealthy) "
	}
	return words + p.promptWord()
}

func (l Loader) promptWord(report boot.Report) string {
	switch why := bootstate.Why(report.Why); {
	case report.Side == "", why == bootstate.Good, why.IsTrial() && l.State.Good == report.Side:
		return ""
	case why.IsTrial():
		return "(trial) "
	default:
		return "(" + string(why) + ") "
	}
}

// showAtLogin brings the line up to date after a change. Where that cannot be
// done the change is as good.
func (c *call) showAtLogin() {
	if c.images != nil {
		return // of another machine
	}
	if report, _, err := readReport(c.env.Root); err == nil {
		_ = showLine(c.env.Root, report, loaderNow(c.env, c.Settings, report))
	}
}

func showLine(root string, report boot.Report, l Loader) error {
	p := readPostboot(root)
	problems, _, err := unhealthy(root)
	line := l.line(report, p, problems)
	return errors.Join(err,
		os.WriteFile(filepath.Join(root, layout.StatusLine), []byte(line+"\n"), 0o644),
		os.WriteFile(filepath.Join(root, layout.StatusPrompt), []byte(l.promptWords(report, p, problems)), 0o644),
		showOnIssue(filepath.Join(root, issueFile), line))
}

// showOnIssue puts the line into the login screen, in place of an earlier one.
func showOnIssue(name, line string) error {
	old, err := readBounded(name, 64<<10)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var kept []string
	for have := range strings.Lines(string(old)) {
		if !strings.HasPrefix(have, issuePrefix) {
			kept = append(kept, strings.TrimRight(have, "\n"))
		}
	}
	for len(kept) > 0 && kept[len(kept)-1] == "" {
		kept = kept[:len(kept)-1]
	}
	// A getty reads \ and % as its own words.
	kept = append(kept, issuePrefix+strings.NewReplacer(`\`, "/", "%", "").Replace(line), "", "")
	return os.WriteFile(name, []byte(strings.Join(kept, "\n")), 0o644)
}
