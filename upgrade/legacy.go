package upgrade

import (
	"bufio"
	"bytes"
	"strings"

	"psyopsOS/layout"
)

// A LegacyMenu is what the first psyopsOS wrote into its grub.cfg.
type LegacyMenu struct {
	LastUpdated  string
	DefaultLabel layout.Label
	Programs     []string
}

const legacyMarker = "# neuralupgrade-info:"

// ParseLegacyMenu finds the line with the three facts in a grub.cfg.
func ParseLegacyMenu(text []byte) (LegacyMenu, bool) {
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
