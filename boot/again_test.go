package boot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/mounts"
	"psyopsOS/step"
)

// run boots like boot, with every step changed by change, and with onFailure.
func (w *world) run(line string, change func(step.Step) step.Step, onFailure func(*step.Error) bool) error {
	w.t.Helper()
	c, err := boot.ParseCmdline(line)
	if err != nil {
		w.t.Fatal(err)
	}
	steps := append(boot.Steps(c, w.machine), boot.Handover(c, w.machine, func() error { return nil }))
	start := time.Now()
	runner := &step.Runner{Sink: w.events.Record, Now: func() time.Duration { return time.Since(start) },
		OnFailure: func(_ context.Context, f *step.Error) bool { return onFailure(f) }}
	return runner.Run(w.t.Context(), changed(steps, change)...)
}

func changed(steps []step.Step, change func(step.Step) step.Step) []step.Step {
	var all []step.Step
	for _, s := range steps {
		if len(s.Lines()) == 0 {
			all = append(all, change(s))
			continue
		}
		var lines []step.Line
		for _, l := range s.Lines() {
			lines = append(lines, changed(l, change))
		}
		all = append(all, step.Together(lines...))
	}
	return all
}

// names lists all steps of a boot.
func names(t *testing.T, line string) []string {
	t.Helper()
	w := newWorld(t)
	var all []string
	c, err := boot.ParseCmdline(line)
	if err != nil {
		t.Fatal(err)
	}
	changed(append(boot.Steps(c, w.machine), boot.Handover(c, w.machine, nil)), func(s step.Step) step.Step {
		all = append(all, s.Name)
		return s
	})
	return all
}

// Issue 3, test 7: a panic in our code at each step, before it does anything
// and after it has done all, is a failure with a stack, is told, and nothing is
// handed over; where the step is optional the boot goes on.
func TestAPanicAtAnyStepIsAFailureAndHandsNothingOver(t *testing.T) {
	const line = "psyopsos=psyopsOS-A psyopsos.wait=0"
	for _, name := range names(t, line) {
		for _, when := range []string{"before", "after"} {
			t.Run(when+" "+name, func(t *testing.T) {
				w := newWorld(t)
				optional := false
				err := w.run(line, func(s step.Step) step.Step {
					if s.Name != name {
						return s
					}
					do := s.Do
					optional = s.Optional
					s.Unless = nil // needed, where it is looked at
					s.Do = func(ctx context.Context, r *step.Reporter) error {
						if when == "after" && name != "hand over" {
							if err := do(ctx, r); err != nil {
								t.Errorf("it failed before its panic: %v", err)
							}
						}
						panic("a defect")
					}
					return s
				}, func(*step.Error) bool { return false })
				var p *step.Panic
				if got := errors.As(err, &p); got == optional || !optional && err == nil {
					t.Errorf("the boot ended with %v", err)
				}
				if handed := len(w.handed) > 0; handed != optional {
					t.Errorf("handed over: %v", handed)
				}
				i := slices.IndexFunc(w.events.Events, func(e step.Event) bool { return e.Kind == step.Failed })
				if i < 0 {
					t.Fatal("no failure is told")
				}
				if e := w.events.Events[i]; e.Step != name || e.Stack == "" || e.Hint == "" || !strings.Contains(e.Message, "a defect") {
					t.Errorf("told is %+v", e)
				}
			})
		}
	}
}

// Whatever step fails or panics once, repeating it is enough.
func TestRepeatingTheFailedStepIsEnough(t *testing.T) {
	const line = "psyopsos=psyopsOS-A psyopsos.wait=0"
	for _, name := range names(t, line) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			asked := 0
			err := w.run(line, func(s step.Step) step.Step {
				if s.Name != name || s.Optional {
					return s
				}
				do, times := s.Do, 0
				s.Do = func(ctx context.Context, r *step.Reporter) error {
					if times++; times == 1 {
						panic("once")
					}
					return do(ctx, r)
				}
				return s
			}, func(*step.Error) bool { asked++; return asked == 1 })
			if err != nil || len(w.handed) != 1 || asked > 1 {
				t.Errorf("after %d questions the boot ended with %v, and was handed over %d times", asked, err, len(w.handed))
			}
		})
	}
}

// What a broken copy has left is no obstacle for the next one.
func TestACopyThatBrokeOffIsBegunAnew(t *testing.T) {
	w := newWorld(t)
	asked := 0
	err := w.run("psyopsos=psyopsOS-A psyopsos.wait=0", func(s step.Step) step.Step {
		do, times := s.Do, 0
		if s.Name != "copy squashfs" {
			return s
		}
		s.Do = func(ctx context.Context, r *step.Reporter) error {
			if times++; times == 1 {
				half := filepath.Join(w.machine.Root, "media/psyopsOS/squashfs")
				if err := os.WriteFile(half, []byte(strings.Repeat("longer than the whole", 1000)), 0o600); err != nil {
					t.Error(err)
				}
				panic("in the middle")
			}
			return do(ctx, r)
		}
		return s
	}, func(*step.Error) bool { asked++; return asked == 1 })
	if err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(w.machine.Root, "media/psyopsOS/squashfs")); string(got) != w.side["squashfs"] {
		t.Errorf("the copy is %d bytes, %v", len(got), err)
	}
}

// What was plugged in while somebody was at the emergency shell has told its
// event to nobody.
func TestTheRepeatedSearchLoadsDriversOfWhatCameInBetween(t *testing.T) {
	w := newWorld(t)
	w.storage.Unplug("vda")
	w.write("lib/modules/"+kernel+"/modules.dep", "stick.ko:\n")
	w.write("lib/modules/"+kernel+"/modules.alias", "alias usb:v1234* stick\n")
	err := w.run("psyopsos=psyopsOS-A psyopsos.wait=0", func(s step.Step) step.Step { return s }, func(f *step.Error) bool {
		if f.Step != "find psyopsOS-A" || len(w.modules.Inserted) > 0 {
			return false
		}
		w.modules.Devices = append(w.modules.Devices, "usb:v1234")
		w.plug("vda", "0aaa", "1aaa")
		return true
	})
	if err != nil || !slices.Equal(w.modules.Inserted, []string{"stick"}) {
		t.Errorf("loaded %v, and the boot ended with %v", w.modules.Inserted, err)
	}
}

// Storage that panics does so on whatever goroutine asks it.
func TestAPanicBesideTheCopyIsAFailure(t *testing.T) {
	w := newWorld(t)
	w.storage.OnMount = func(m mounts.Mount) error {
		if strings.HasSuffix(m.Target, "root-rw") {
			panic("a defect")
		}
		return w.mount(m)
	}
	err := w.boot("psyopsos=psyopsOS-A")
	var p *step.Panic
	if !errors.As(err, &p) || len(w.handed) > 0 {
		t.Errorf("the boot ended with %v", err)
	}
}

// Nobody shall stand before a machine that says only what is wrong.
func TestEveryFailureHasAHint(t *testing.T) {
	for _, line := range []string{"psyopsos=psyopsOS-A psyopsos.wait=0", "root=LABEL=psyopsOS-B psyopsos.wait=0"} {
		for _, method := range []string{"Devices", "Uevents", "Mount", "LoopMount", "MemAvailable", "Unmount", "Mounts", "Handover"} {
			w := newWorld(t)
			w.storage.Fail[method] = syscall.EIO
			if method == "Handover" {
				w.machine.Handover = func(mounts.HandoverPlan) error { return syscall.ENOEXEC }
			}
			err := w.boot(line)
			for _, e := range w.events.Events {
				if e.Kind == step.Failed && e.Hint == "" {
					t.Errorf("%s where %s fails: no hint with %s", line, method, e)
				}
			}
			if err == nil && method == "Handover" {
				t.Errorf("%s: the hand-over did not fail", line)
			}
		}
	}
}

// For every mount i of the boot: that it fails once costs one repetition, and
// nothing is mounted twice, which would stand in the way of the hand-over.
func TestAMountThatFailsOnceIsRepeatedAndLeavesNoOther(t *testing.T) {
	const line = "psyopsos=psyopsOS-A psyopsos.wait=0"
	same := func(s step.Step) step.Step { return s }
	table := func(w *world) []string {
		points, err := w.storage.Mounts()
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, p := range points {
			paths = append(paths, strings.TrimPrefix(p.Path, w.machine.Root)+" "+p.Type)
		}
		slices.Sort(paths)
		return paths
	}
	whole := newWorld(t)
	var mounted atomic.Int32
	whole.storage.OnMount = func(m mounts.Mount) error { mounted.Add(1); return whole.mount(m) }
	if err := whole.run(line, same, func(*step.Error) bool { return false }); err != nil {
		t.Fatal(err)
	}
	want := table(whole)
	for i := range mounted.Load() {
		w := newWorld(t)
		var count atomic.Int32
		var broken string
		w.storage.OnMount = func(m mounts.Mount) error {
			if count.Add(1) == i+1 {
				broken = m.Target
				return syscall.EIO
			}
			return w.mount(m)
		}
		asked := 0
		err := w.run(line, same, func(*step.Error) bool { asked++; return asked == 1 })
		if err != nil || len(w.handed) != 1 {
			t.Errorf("%s failed once: %v, handed over %d times", broken, err, len(w.handed))
		}
		if got := table(w); !slices.Equal(got, want) {
			t.Errorf("%s failed once: mounted is\n%q, want\n%q", broken, got, want)
		}
	}
}

func TestAShellThatCannotBeOfferedCostsNoBoot(t *testing.T) {
	for _, word := range []string{"single", "psyopsos.shell=first", "psyopsos.shell=before-handover"} {
		w := newWorld(t)
		var asked []string
		w.machine.Shell = func(_ context.Context, what string) error {
			asked = append(asked, what)
			return errors.New("no console for an emergency shell")
		}
		if err := w.boot("psyopsos=psyopsOS-A psyopsos.wait=0 " + word); err != nil || len(w.handed) != 1 {
			t.Errorf("%s: %v, handed over %d times", word, err, len(w.handed))
		}
		told := slices.ContainsFunc(w.events.Events, func(e step.Event) bool { return e.Kind == step.Failed && e.Step == "emergency shell" })
		if !slices.Equal(asked, []string{word}) || !told {
			t.Errorf("%s: the shell was asked for by %q, and that there is none was told: %v", word, asked, told)
		}
	}
}
