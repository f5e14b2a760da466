package upgrade

import (
	"bufio"
	"bytes"
	"slices"
	"strings"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// A LegacyMenu is what the first psyopsOS wrote into its grub.cfg.
type LegacyMenu struct {
	LastUpdated  string
	DefaultLabel layout.Label
	Programs     []string
	Append       string // the kernel words of the default side that are its owner's
}

const legacyMarker = "# neuralupgrade-info:"

// ParseLegacyMenu finds the line with the three facts in a grub.cfg.
func ParseLegacyMenu(text []byte) (LegacyMenu, bool) {
	m, ok := legacyFacts(text)
	if ok {
		m.Append = legacyWords(text, m.DefaultLabel)
	}
	return m, ok
}

func legacyFacts(text []byte) (LegacyMenu, bool) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		words, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), legacyMarker)
		if !ok {
			continue
		}
		var m LegacyMenu
		for _, word := range strings.Fields(words) {
			switch key, value, _ := strings.Cut(word, "="); key {
			case "last_updated":
				m.LastUpdated = value
			case "default_boot_label":
				m.DefaultLabel = layout.Label(value)
			case "extra_programs":
				m.Programs = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
			}
		}
		return m, m.DefaultLabel.IsSide()
	}
	return LegacyMenu{}, false
}

// legacyWords are the words that a side's entry gives the kernel, but for those
// that our loader gives it anyway. Words that it could not keep are left out.
func legacyWords(text []byte, label layout.Label) string {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || !strings.HasPrefix(words[0], "linux") || !slices.Contains(words, "psyopsos="+string(label)) {
			continue
		}
		words = slices.DeleteFunc(words[2:], func(word string) bool {
			return strings.HasPrefix(word, "psyopsos=") || slices.Contains([]string{"ro", "console=tty0", "console=ttyS0,115200"}, word)
		})
		for len(words) > 0 {
			menu := bootstate.Menu{Append: strings.Join(words, " ")}
			if _, err := menu.Render(); err == nil {
				return menu.Append
			}
			words = words[:len(words)-1]
		}
	}
	return ""
}
