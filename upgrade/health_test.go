package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// check puts a program into the health folder.
func (w *world) check(name, script string) {
	w.t.Helper()
	dir := filepath.Join(w.root, layout.HealthDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// onTrial is a machine that has booted side B on trial.
func onTrial(t *testing.T) *world {
	w := newWorld(t)
	w.fill(layout.SideB, makeBundle(t, v2))
	w.changeState(func(s *bootstate.State, tries *bootstate.Tries) {
		s.Seq, s.Try, s.Alt = 2, layout.SideB, ""
		*tries = bootstate.Tries{Left: 2, For: 2, Run: 1}
	})
	w.boots(layout.SideB, v2, bootstate.Trial(2))
	return w
}

func TestAHealthyTrialIsCommitted(t *testing.T) {
	w := onTrial(t)
	w.check("10-fine", "exit 0")
	out, _ := w.must(0, "health")
	has(t, out, "committed: psyopsOS-B, release "+v2)
	if got := w.state(); got.Good != layout.SideB || got.Try != "" || got.B != v2 {
		t.Errorf("the state is %+v", got)
	}
	if w.restarted != 0 {
		t.Error("restarted all the same")
	}
}

func TestAHealthyGoodBootBeginsToCountAnew(t *testing.T) {
	w := newWorld(t)
	w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Run = 2 })
	was := w.state()
	w.must(0, "health")
	if got := w.loader().Tries.Run; got != 0 {
		t.Errorf("run is %d", got)
	}
	if got := w.state(); got != was {
		t.Errorf("the state was %+v and is %+v", was, got)
	}
}

func TestAnUnhealthyTrialIsRecordedAndRestarts(t *testing.T) {
	w := onTrial(t)
	was := w.state()
	w.check("10-fine", "exit 0")
	w.check("20-web", "echo no answer at port 80; exit 3")
	_, stderr := w.must(1, "health")
	has(t, stderr, "20-web: exit status 3 no answer at port 80")
	if w.restarted != 1 {
		t.Errorf("restarted %d times", w.restarted)
	}
	if got := w.state(); got != was {
		t.Errorf("the state was %+v and is %+v", was, got)
	}
	fail := w.loader().Fail
	if fail.Side != layout.SideB || fail.Version != v2 || fail.Stage != "health" || fail.Seq != 2 || !strings.Contains(fail.Reason, "20-web") {
		t.Errorf("FAIL.ENV says %+v", fail)
	}
	status, err := os.ReadFile(filepath.Join(w.root, layout.StatusDir, "health"))
	if err != nil || !strings.Contains(string(status), `"healthy": false`) {
		t.Errorf("the status is %s, %v", status, err)
	}
}

func TestAnUnhealthyGoodSideDoesNotRestartForEver(t *testing.T) {
	w := newWorld(t)
	w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Run = 2 })
	w.check("20-web", "exit 1")
	w.must(1, "health")
	if w.restarted != 0 {
		t.Error("restarted")
	}
	if got := w.loader().Tries.Run; got != 2 {
		t.Errorf("run is %d: an unhealthy boot began to count anew", got)
	}
}

func TestTheOwnerSetsHowLongACheckMayTake(t *testing.T) {
	w := onTrial(t)
	w.check("20-web", "sleep 60")
	config := filepath.Join(w.root, ConfigFile)
	if err := os.WriteFile(config, []byte("check-limit = \"200ms\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr := w.must(1, "health")
	has(t, stderr, "20-web: no answer after 200ms")
	if err := os.WriteFile(config, []byte("check-limit = \"0s\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr = w.must(2, "health")
	has(t, stderr, "a check needs some time")
}

func TestACheckThatHangsIsAFailedOneWithAllThatItStarted(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	if err := os.WriteFile(filepath.Join(dir, "hangs"), []byte("#!/bin/sh\n(sleep 1; touch '"+mark+"') &\nsleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte("not a program"), 0o644); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	v := judge(t.Context(), dir, 100*time.Millisecond, time.Now, func(string) {})
	if v.Healthy || len(v.Checks) != 1 || !strings.Contains(v.problems(), "no answer after 100ms") {
		t.Errorf("got %+v", v)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	time.Sleep(1500 * time.Millisecond)
	if _, err := os.Stat(mark); err == nil {
		t.Error("what the check had started went on")
	}
}
