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
