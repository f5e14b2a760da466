package boot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/step"
)

func TestAPackedModuleIsRefusedWithAHint(t *testing.T) {
	for _, extension := range []string{".gz", ".xz", ".zst"} {
		file := filepath.Join(t.TempDir(), "loop.ko"+extension)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		err := LinuxModules{}.Insert(file, "")
		if err == nil || !strings.Contains(err.Error(), "packed ("+extension+")") || step.HintOf(err) == "" {
			t.Errorf("%s: got %v with the hint %q", extension, err, step.HintOf(err))
		}
	}
}

func TestModuleNames(t *testing.T) {
	for path, want := range map[string]string{
		"kernel/drivers/usb/storage/usb-storage.ko.xz": "usb_storage",
		"extra/a.ko": "a",
		"snd-hda":    "snd_hda",
		"x.ko.zst":   "x",
	} {
		if got := moduleName(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}
