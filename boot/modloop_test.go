package boot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/mounts"
)

// Issue 4, tests: the modloop of another kernel. A node that boots without
// drivers of its network cards would call itself healthy.
func TestATrialWithAnotherKernelsModloopFailsAndAGoodSideBootsAsFarAsItCan(t *testing.T) {
	for why, fails := range map[string]bool{"trial2": true, "trial0": true, "good": false, "fallback": false, "lastresort": false, "manual": false} {
		t.Run(why, func(t *testing.T) {
			w := newWorld(t)
			w.storage.OnMount = func(m mounts.Mount) error {
				err := w.mount(m)
				if err == nil && strings.HasSuffix(m.Target, layout.ModloopDir) {
					modules := filepath.Join(m.Target, "modules")
					err = os.Rename(filepath.Join(modules, kernel), filepath.Join(modules, "6.1.0-other"))
				}
				return err
			}
			err := w.boot("psyopsos=psyopsOS-A psyopsos.boot=" + why)
			if (err != nil) != fails {
				t.Fatalf("got %v, want failure %v", err, fails)
			}
			told := w.warnings()
			if err != nil {
				told = err.Error()
			}
			if !strings.Contains(told, "has no modules for the running kernel "+kernel) {
				t.Errorf("told is %q", told)
			}
			if modloop := filepath.Join(w.machine.Root, layout.ModloopDir); fails && w.storage.Mounted(modloop) {
				t.Error("it stays mounted: the repeated step would mount it again")
			}
		})
	}
}
