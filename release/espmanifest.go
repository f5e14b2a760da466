package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// An ESPManifest is /manifest.json of the ESP: its extra programs' paths and
// titles.
type ESPManifest struct {
	ExtraPrograms map[string]string
}

type espManifestJSON struct {
	Version       int               `json:"version"`
	ExtraPrograms map[string]string `json:"extra_programs"`
}

// MaxESPManifest bounds what is read as an ESP's manifest.
const MaxESPManifest = 64 << 10

// JSON renders the manifest in one line, programs sorted.
func (m ESPManifest) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	programs := m.ExtraPrograms
	if programs == nil {
		programs = map[string]string{}
	}
	if err := e.Encode(espManifestJSON{1, programs}); err != nil {
		// No value of these field types can fail to encode.
		panic(fmt.Sprintf("encode an ESP manifest: %v", err))
	}
	return b.Bytes()
}

// ParseESPManifest reads a manifest; ours, or the first psyopsOS's.
func ParseESPManifest(text []byte) (ESPManifest, error) {
	var j espManifestJSON
	if len(text) > MaxESPManifest {
		return ESPManifest{}, fmt.Errorf("ESP manifest: %d bytes, at most %d", len(text), MaxESPManifest)
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return ESPManifest{}, fmt.Errorf("ESP manifest: %w", err)
	}
	if j.Version != 1 {
		return ESPManifest{}, fmt.Errorf("ESP manifest: version %d of the format, want 1", j.Version)
	}
	if j.ExtraPrograms == nil {
		j.ExtraPrograms = map[string]string{}
	}
	m := ESPManifest{j.ExtraPrograms}
	return m, m.Check()
}

// Check wants paths and titles that GRUB's menu can show as they are.
func (m ESPManifest) Check() error {
	for name, title := range m.ExtraPrograms {
		rel, ok := strings.CutPrefix(name, "/")
		if !ok || !fs.ValidPath(rel) || rel == "." || strings.Trim(path.Clean(rel), espName) != "" {
			return fmt.Errorf("ESP manifest: %q is no path of a program", name)
		}
		if title == "" || len(title) > 64 || strings.ContainsFunc(title, func(c rune) bool { return c < ' ' || c > '~' || strings.ContainsRune(`"'$\{}`, c) }) {
			return fmt.Errorf("ESP manifest: %s: title %q is empty, too long, or holds a character that GRUB would interpret", name, title)
		}
	}
	return nil
}

const espName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/"
