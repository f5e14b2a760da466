package qemutests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/step"
	"psyopsOS/vm"
)

func (g *Guest) age() float64 { return time.Since(g.VM.Started).Seconds() }

// end is the last thing of a test: the machine is killed, the boot's story is
// judged and, where the test failed, kept.
func (g *Guest) end(s Scenario, logs string) {
	g.t.Helper()
	ran := g.age()
	g.VM.Close()
	events := g.VM.Events.All()
	if err := judge(s, events); err != nil {
		g.t.Error(err)
	}
	g.t.Logf("the machine ran for %.1f s and told %d events", ran, len(events))
	if !g.t.Failed() {
		return
	}
	kept, err := keep(g.VM, filepath.Join(logs, fileName(g.t.Name())))
	if err != nil {
		g.t.Errorf("keep the logs: %v", err)
	}
	g.t.Logf("console, events and QEMU's command line are in %s", kept)
}

// judge wants the last boot of a guest that tells its events to have an end:
// a hand-over, or a failure. Init may die without a word otherwise, and a test
// that looks elsewhere would not see it.
func judge(s Scenario, events []step.Event) error {
	if s.OpenEnd || s.Machine.NoEvents || s.Cmdline != "" && !strings.Contains(s.Cmdline, "psyopsos.events=") {
		return nil
	}
	boot := lastBoot(events)
	for _, e := range boot {
		if handedOver(e) || e.Kind == step.Failed && !e.Optional {
			return nil
		}
	}
	if len(boot) == 0 {
		return errors.New("the boot told no event at all")
	}
	return fmt.Errorf("the boot's final event is missing: after %q nothing more came", boot[len(boot)-1])
}

// lastBoot are the events since the guest's clock last began anew, or since the
// first step last did.
func lastBoot(events []step.Event) []step.Event {
	begin := 0
	for i := 1; i < len(events); i++ {
		first := events[i].Step == events[0].Step && events[i].Kind == step.Started
		if first || events[i].Time < events[i-1].Time {
			begin = i
		}
	}
	return events[begin:]
}

// keep copies what a person wants to see of a failed test into folder to.
func keep(v *vm.VM, to string) (string, error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return to, err
	}
	args, err := vm.Args(v.Machine, v.Dir)
	errs := []error{err, os.WriteFile(filepath.Join(to, "qemu.args"), []byte(strings.Join(args, "\n")+"\n"), 0o644)}
	for _, name := range []string{"console.log", "events.jsonl", "qemu.log"} {
		data, err := os.ReadFile(filepath.Join(v.Dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o644)
		}
		errs = append(errs, err)
	}
	if abs, err := filepath.Abs(to); err == nil {
		to = abs
	}
	return to, errors.Join(errs...)
}

// fileName is a test's name as one path component.
func fileName(test string) string { return strings.ReplaceAll(test, "/", "--") }
