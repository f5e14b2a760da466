package upgrade

import (
	"path/filepath"
	"strings"

	"psyopsOS/layout"
)

// A Postboot is how the programs in layout.PostbootDir went on this boot:
// layout.StatusDir/postboot, which the service postboot writes.
type Postboot struct {
	State   string // waiting, running, done, failed; empty where it did not begin
	Detail  string // what is waited for, what runs, what failed
	Network bool   // it was up when they began
}

// parsePostboot reads a KEY=value a line; what it does not know it passes over.
func parsePostboot(text []byte) (p Postboot) {
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = plain(value); key {
		case "state":
			p.State = value
		case "detail":
			p.Detail = value
		case "network":
			p.Network = value == "yes"
		}
	}
	return p
}

// plain is text without what would move a terminal's cursor.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\uFFFD' {
			return -1
		}
		return r
	}, text)
}

// readPostboot is empty where nothing can be read: a userland may be without
// the service.
func readPostboot(root string) Postboot {
	text, err := readBounded(filepath.Join(root, layout.StatusDir, "postboot"), 64<<10)
	if err != nil {
		return Postboot{}
	}
	return parsePostboot(text)
}

// words are its part of the status line.
func (p Postboot) words() []string {
	switch p.State {
	case "waiting":
		return []string{"postboot waits " + p.Detail}
	case "running":
		return []string{"postboot runs " + p.Detail}
	case "done":
		if !p.Network {
			return []string{"configured without a network"}
		}
		return []string{"configured"}
	case "failed":
		return []string{"postboot failed: " + p.Detail + " (/var/log/postboot.latest)"}
	}
	return nil
}

func (p Postboot) promptWord() string {
	if p.State == "failed" {
		return "(postboot failed) "
	}
	return ""
}
