package base_test

import (
	"strings"
	"testing"

	"psyopsOS/image/base"
	"psyopsOS/layout"
)

func TestEveryServiceThatIsEnabledIsThereAndCanBeRun(t *testing.T) {
	overlay, err := base.Overlay()
	if err != nil {
		t.Fatal(err)
	}
	enabled := 0
	for name, node := range overlay.All() {
		if !strings.HasPrefix(name, "etc/runlevels/") || node.Target == "" {
			continue
		}
		enabled++
		service, ok := overlay.Get(strings.TrimPrefix(node.Target, "/"))
		if !ok || service.Mode.Perm() != 0o755 {
			t.Errorf("%s leads to %s, which is not there or cannot be run", name, node.Target)
		}
	}
	if enabled == 0 {
		t.Error("no service is enabled")
	}
	if !overlay.Has(strings.TrimPrefix(layout.HealthDir, "/")) {
		t.Errorf("there is no %s", layout.HealthDir)
	}
}

// OpenRC sources every service to read what it depends on: a backtick outside
// of a function is a program that each boot would run. One restarted it.
func TestAServiceRunsNothingWhileItIsRead(t *testing.T) {
	overlay, err := base.Overlay()
	if err != nil {
		t.Fatal(err)
	}
	for name, node := range overlay.All() {
		if !strings.HasPrefix(name, "etc/init.d/") || node.Target != "" {
			continue
		}
		text, err := node.Content()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "\t") && strings.ContainsAny(line, "`$") {
				t.Errorf("%s: %q may run something", name, line)
			}
		}
	}
}
