package secret

import (
	"os"
	"strings"
	"testing"
)

// The owner's page names every file that is read and every variable that a
// script can use.
func TestEveryFileAndVariableIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/secrets.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(Known(), TestingEnv, toorKey) {
		if !strings.Contains(string(page), name) {
			t.Errorf("docs/secrets.md does not tell of %s", name)
		}
	}
	for line := range strings.Lines(string(Unconfigured().Env())) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		_, file, isPath := strings.Cut(value, "/mount/")
		if isPath && !strings.Contains(string(page), "`"+file+"`") || !strings.Contains(string(page), "`"+key+"`") {
			t.Errorf("docs/secrets.md does not tell of %s", key)
		}
	}
}
