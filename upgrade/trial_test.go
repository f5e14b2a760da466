package upgrade

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/trial"
)

func (w *world) trialIs(want trial.Stage) {
	w.t.Helper()
	if got := trial.Told(w.root); got.Stage != want {
		w.t.Errorf("the trial is told to be %+v, want %q", got, want)
	}
}

// untouched does something that must not change the boot loader's files.
func (w *world) untouched(do func()) {
	w.t.Helper()
	before := w.loader().Copies
	do()
	if after := w.loader().Copies; !reflect.DeepEqual(before, after) {
		w.t.Errorf("the boot loader's files have changed: %+v", w.loader())
	}
}

func TestTheDeadlineIsToldOfACommit(t *testing.T) {
	for _, command := range []string{"health", "commit"} {
		w := onTrial(t)
		w.must(0, command)
		w.trialIs(trial.Committed)
	}
	w := newWorld(t) // no trial: nobody listens
	w.must(0, "health")
	w.trialIs("")
}

func TestATrialThatIsGivenUpIsNotToldAsCommitted(t *testing.T) {
	w := onTrial(t)
	w.must(0, "rollback")
	out, _ := w.must(0, "commit")
	has(t, out, "nothing to commit: psyopsOS-B runs as trial2")
	w.trialIs("")
}

func TestTheDeadlineIsToldWhichCheckRunsAndWhyItFailed(t *testing.T) {
	w := onTrial(t)
	seen := filepath.Join(w.root, "seen")
	w.check("20-web", "cp '"+filepath.Join(w.root, layout.TrialProgress)+"' '"+seen+"'; exit 3")
	w.must(1, "health")
	has(t, string(readFile(t, seen)), `"judging"`, "20-web")
	w.trialIs(trial.Unhealthy)
}

// POWERCUT.md, 'The state', 3.
func TestHealthCommitsNothingThatTheLoaderDidNotChoose(t *testing.T) {
	for _, why := range []bootstate.Why{bootstate.Manual, bootstate.Fallback, bootstate.LastResort} {
		for _, side := range []layout.Label{layout.SideA, layout.SideB} {
			w := onTrial(t)
			// Tries that are used up: a boot of good would clear the trial.
			w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left, tries.Run = 0, 2 })
			w.boots(side, v2, why)
			w.untouched(func() {
				out, _ := w.must(0, "health")
				has(t, out, "nothing is committed: "+string(side)+" runs as "+string(why))
			})
		}
	}
}

func TestATrialToBeConfirmedFromOutsideIsKeptOnlyByCommit(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v2))
	_, stderr := w.must(2, "apply", "nonbooted", "--confirm", "nobody")
	has(t, stderr, `"nobody": health or remote`)
	out, _ := w.applies("--confirm=remote", "--dry-run")
	has(t, out, "health alone does not commit it")
	_, stderr = w.applies("--confirm=remote")
	has(t, stderr, "only `neuralupgrade commit` from outside keeps it")
	if got, want := w.loader().Tries, (bootstate.Tries{Left: 3, For: 3, Confirm: bootstate.ConfirmRemote}); got != want {
		t.Fatalf("the counts are %+v, want %+v", got, want)
	}
	// GRUB counts in place, and keeps the wish.
	w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left = 2 })
	w.boots(layout.SideB, v2, bootstate.Trial(2))
	w.untouched(func() {
		out, _ = w.must(0, "health")
		has(t, out, "healthy; psyopsOS-B, release "+v2+", is kept once `neuralupgrade commit` is run from outside")
	})
	w.trialIs(trial.Unconfirmed)
	out, _ = w.must(0, "status")
	has(t, out, "psyopsOS-B, 2 tries left; only `neuralupgrade commit` from outside keeps it")
	w.must(0, "commit")
	w.trialIs(trial.Committed)
	if got := w.loader(); got.State.Good != layout.SideB || got.Tries != (bootstate.Tries{}) {
		t.Errorf("committed, the disk says %+v, %+v", got.State, got.Tries)
	}
}

// Whether somebody wanted to confirm it is lost with the counts: then somebody
// has to.
func TestATrialWhoseCountsAreLostIsNotCommittedByHealth(t *testing.T) {
	w := onTrial(t)
	w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { *tries = bootstate.Tries{} })
	w.untouched(func() { w.must(0, "health") })
	w.trialIs(trial.Unconfirmed)
	w.must(0, "commit")
	if got := w.state(); got.Good != layout.SideB {
		t.Errorf("a commit by hand left %+v", got)
	}
}

func TestAHealthyTrialWhoseMediumIsGoneWaitsForItAndCommits(t *testing.T) {
	w := onTrial(t)
	w.fake.Unplug("vda")
	go func() {
		for trial.Told(w.root).Stage != trial.Unwritten {
			time.Sleep(10 * time.Millisecond)
		}
		w.fake.Plug(mounts.Device{Name: "vda", DiskUUID: "disk"}, make([]byte, 4096))
		for _, n := range []int{1, 3, 4, 5} {
			name := fmt.Sprint("vda", n)
			w.plug(name, w.images["/dev/"+name], n)
		}
	}()
	out, _ := w.must(0, "health")
	has(t, out, "the commit waits until it is back", "committed: psyopsOS-B")
	w.trialIs(trial.Committed)
	if w.restarted != 0 {
		t.Error("restarted")
	}
}

func TestAnotherDiskIsNotTheOneThatWasPulledOut(t *testing.T) {
	w := onTrial(t)
	c := &call{env: w.env().withDefaults()}
	report, _, err := readReport(w.root)
	if err != nil {
		t.Fatal(err)
	}
	if c.mediumGone(report) {
		t.Error("it is there")
	}
	w.fake.Unplug("vda")
	w.fake.Plug(mounts.Device{Name: "vda", DiskUUID: "other"}, make([]byte, 4096))
	w.fake.Plug(mounts.Device{Name: "vda4", Disk: "vda", Partition: 4, PartUUID: "other4", DiskUUID: "other"}, make([]byte, 4096))
	if !c.mediumGone(report) {
		t.Error("another disk is taken for it")
	}
}

func TestACommitWhereNoSideWasBootedHasNothingToDo(t *testing.T) {
	w := newWorld(t)
	w.boots("", "", "")
	out, _ := w.must(0, "commit")
	has(t, out, "nothing to commit")
}

func TestTheLineTellsWhatRunsAndWhatFailed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*world)
		line   string
		prompt string
	}{
		{"a trial", func(*world) {}, "psyopsOS-B " + v2 + ", on trial, not committed, 2 tries left", "(trial) "},
		{"a trial on its last try", func(w *world) {
			w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left = 0 })
			w.boots(layout.SideB, v2, bootstate.Trial(0))
		}, "psyopsOS-B " + v2 + ", on trial, not committed, 0 tries left", "(trial) "},
		{"a committed trial", func(w *world) { w.must(0, "commit") }, "psyopsOS-B " + v2 + ", committed", ""},
		{"a trial to come", func(w *world) { w.boots(layout.SideA, v1, bootstate.Good) },
			"psyopsOS-A " + v1 + ", the default; psyopsOS-B goes on trial with the next restart", ""},
		{"a trial without a report", func(w *world) {
			w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left = 0 })
			w.boots(layout.SideA, v1, bootstate.Good)
		}, "psyopsOS-A " + v1 + ", the default; last failure: psyopsOS-B: no report: panic, hang or power cut, 3 tries used", ""},
		{"the same once it is cleared", func(w *world) {
			w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left, tries.Of = 0, 2 })
			w.boots(layout.SideA, v1, bootstate.Good)
			w.must(0, "health")
		}, "psyopsOS-A " + v1 + ", the default; last failure: release " + v2 + ": no report: panic, hang or power cut, 2 tries used", ""},
		{"a trial with a report", func(w *world) {
			w.check("20-web", "exit 3")
			w.must(1, "health")
			w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left = 0 })
			w.boots(layout.SideA, v1, bootstate.Good)
		}, "psyopsOS-A " + v1 + ", the default; last failure: psyopsOS-B, release " + v2 + ": health: 20-web: exit status 3", ""},
		{"by hand", func(w *world) { w.boots(layout.SideA, v1, bootstate.Manual) },
			"psyopsOS-A " + v1 + ", chosen by hand; psyopsOS-B goes on trial with the next restart", "(manual) "},
		{"root=", func(w *world) { w.boots("", "", "") }, "root= of the command line, no side", ""},
		{"the disk is gone", func(w *world) { w.fake.Unplug("vda") },
			"psyopsOS-B " + v2 + ", on trial; the boot loader's state cannot be read: the disk that was booted is not there", "(trial) "},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := onTrial(t)
			test.change(w)
			out, _ := w.must(0, "status", "--line")
			if out != test.line+"\n" {
				t.Errorf("got %q, want %q", out, test.line)
			}
			w.must(0, "status", "--login-screen")
			if got := string(readFile(t, filepath.Join(w.root, layout.StatusPrompt))); got != test.prompt {
				t.Errorf("the prompt has %q, want %q", got, test.prompt)
			}
		})
	}
}

func TestTheLoginScreenHasOneLineAndFollowsTheState(t *testing.T) {
	w := onTrial(t)
	if err := os.MkdirAll(filepath.Join(w.root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("/etc/issue", []byte("testos 1 on kernel \\r\nA userland.\n\n"))
	issue := func() string { return string(readFile(t, filepath.Join(w.root, "etc/issue"))) }
	for range 2 {
		w.must(0, "status", "--login-screen")
		if got, want := issue(), "testos 1 on kernel \\r\nA userland.\npsyopsOS: psyopsOS-B "+v2+", on trial, not committed, 2 tries left\n\n"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	w.must(0, "commit")
	has(t, issue(), "psyopsOS: psyopsOS-B "+v2+", committed\n")
}

func TestRebootShutsDownAndLoadsNothing(t *testing.T) {
	w := newWorld(t)
	w.untouched(func() { w.must(0, "reboot") })
	if w.shutDown != 1 || len(w.loaded) != 0 || w.restarted != 0 {
		t.Errorf("shut down %d times, loaded %q", w.shutDown, w.loaded)
	}
}

// POWERCUT.md, rule 8.
func TestKexecStartsWhatTheLoaderWouldAndCountsAsItDoes(t *testing.T) {
	w := newWorld(t)
	b := makeBundle(t, v2)
	w.publish(b)
	w.applies()
	sums := fmt.Sprintf("%x %x ", sha256.Sum256(b.members[layout.Kernel]), sha256.Sum256(b.members[layout.Initramfs]))
	for left := 2; left >= 0; left-- {
		out, _ := w.must(0, "reboot", "--kexec")
		has(t, out, fmt.Sprintf("psyopsOS-B starts as trial%d", left))
		words := w.loaded[len(w.loaded)-1]
		if !strings.HasPrefix(words, sums+fmt.Sprintf("ro psyopsos=psyopsOS-B psyopsos.boot=trial%d psyopsos.disk=part4 ", left)) {
			t.Errorf("loaded %q", words)
		}
		if got := w.loader().Tries; got != (bootstate.Tries{Left: left, For: 3}) {
			t.Errorf("the counts are %+v", got)
		}
	}
	out, _ := w.must(0, "reboot", "--kexec")
	has(t, out, "psyopsOS-A starts as good")
	if got := w.loader().Tries; got != (bootstate.Tries{For: 3, Run: 1}) {
		t.Errorf("the counts are %+v", got)
	}
	if _, err := os.Stat(filepath.Join(w.root, layout.KexecMark)); err != nil || w.shutDown != 4 {
		t.Errorf("shut down %d times, mark: %v", w.shutDown, err)
	}
	w.must(0, "reboot") // a later one without a kernel
	if _, err := os.Stat(filepath.Join(w.root, layout.KexecMark)); err == nil {
		t.Error("a plain restart would start the kernel that an earlier one loaded")
	}
}

func TestKexecOfAKernelThatWasNotSignedIsRefusedAndCostsNothing(t *testing.T) {
	for name, damage := range map[string]func(*world){
		"a manifest of nobody": func(w *world) {
			w.write(filepath.Join(layout.MountSideB, layout.ManifestSignature), []byte("no signature"))
		},
		// BOOT.SUM is not signed: it passes, the manifest does not.
		"another kernel with its BOOT.SUM": func(w *world) {
			b := makeBundle(w.t, v3)
			sum := bootstate.BootSum{Kernel: sha256.Sum256(b.members[layout.Kernel]), Initramfs: sha256.Sum256(b.members[layout.Initramfs])}
			w.write(filepath.Join(layout.MountSideB, layout.Kernel), b.members[layout.Kernel])
			w.write(filepath.Join(layout.MountSideB, layout.Initramfs), b.members[layout.Initramfs])
			w.write(filepath.Join(layout.MountSideB, layout.BootSum), sum.Render())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(makeBundle(t, v2))
			w.applies()
			damage(w)
			w.untouched(func() {
				_, stderr := w.must(1, "reboot", "--kexec")
				has(t, stderr, "load the kernel of psyopsOS-B")
			})
			if len(w.loaded) != 0 || w.shutDown != 0 {
				t.Errorf("loaded %q, shut down %d times", w.loaded, w.shutDown)
			}
		})
	}
}
