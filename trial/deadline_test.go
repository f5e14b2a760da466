package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/step"
)

// A machine is a World whose clock goes on by its pauses alone.
type machine struct {
	clock      time.Duration
	handedAt   time.Duration
	dog        *dog
	dogAt      time.Duration
	told       func(now time.Duration) Progress
	committed  bool
	deadDisk   chan struct{} // Committed and Record wait for it
	acts       []string
	recordFail error
}

func (m *machine) Now() time.Duration { return m.clock }
func (m *machine) Pause(d time.Duration) {
	m.clock += d
	if m.clock > time.Hour {
		panic("the deadline guards for ever")
	}
	if m.dog != nil && m.dog.open && m.clock-m.dog.fedAt > m.dog.timeout {
		panic(fmt.Sprintf("the watchdog has reset the machine at %v", m.clock))
	}
}
func (m *machine) Told() Progress {
	if m.told == nil {
		return Progress{}
	}
	return m.told(m.clock)
}
func (m *machine) Follow() bool { return m.clock >= m.handedAt }
func (m *machine) Watchdog() Watchdog {
	if m.dog == nil || m.clock < m.dogAt {
		return nil
	}
	m.dog.m, m.dog.open, m.dog.fedAt = m, true, m.clock
	return m.dog
}
func (m *machine) Committed(context.Context) bool { return m.committed }
func (m *machine) Record(reason string) error {
	m.acts = append(m.acts, "record "+reason)
	if m.deadDisk != nil {
		<-m.deadDisk
	}
	return m.recordFail
}
func (m *machine) Restart() error { m.acts = append(m.acts, "restart"); return nil }

type dog struct {
	m              *machine
	open, nowayout bool
	fedAt, timeout time.Duration
	fed            int
}

func (d *dog) Name() string         { return "the watchdog" }
func (d *dog) Every() time.Duration { return d.timeout / 3 }
func (d *dog) Feed() error          { d.fed++; d.fedAt = d.m.clock; return nil }
func (d *dog) Disarm() bool {
	if d.nowayout {
		return false
	}
	d.open = false
	return true
}

func (m *machine) run(ctx context.Context) []step.Event {
	var r step.Recorder
	_ = Deadline{Limit: 2 * time.Minute, Tell: r.Record, World: m}.Run(ctx)
	return r.Events
}

func says(events []step.Event, words string) bool {
	return slices.ContainsFunc(events, func(e step.Event) bool { return strings.Contains(e.Message, words) })
}

func at(stage Stage, from time.Duration) func(time.Duration) Progress {
	return func(now time.Duration) Progress {
		if now < from {
			return Progress{}
		}
		return Progress{Stage: stage, Detail: "20-web"}
	}
}

func TestATrialThatNobodyCommitsIsRecordedAndRestarts(t *testing.T) {
	for _, test := range []struct {
		name   string
		m      machine
		reason string
	}{
		{"init hangs", machine{handedAt: time.Hour, told: func(time.Duration) Progress { return Progress{Stage: Booting, Detail: "copy squashfs"} }}, "init was at the step copy squashfs"},
		{"OpenRC hangs", machine{handedAt: 10 * time.Second, told: func(time.Duration) Progress { return Progress{Stage: Booting, Detail: "hand over"} }}, "the health service never started"},
		{"a check hangs", machine{told: at(Judging, 20*time.Second)}, "the health check 20-web had not answered"},
		{"nobody confirms", machine{told: at(Unconfirmed, 20*time.Second)}, "nobody confirmed it"},
		{"it cannot be written", machine{told: at(Committing, 20*time.Second)}, "it could not be committed: 20-web"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := test.m
			events := m.run(t.Context())
			want := "record not committed 2m0s after the kernel's start: "
			if len(m.acts) != 2 || !strings.HasPrefix(m.acts[0], want) || !strings.Contains(m.acts[0], test.reason) || m.acts[1] != "restart" {
				t.Errorf("did %q, want %q %q and a restart", m.acts, want, test.reason)
			}
			if m.clock < 2*time.Minute || m.clock > 2*time.Minute+2*time.Second {
				t.Errorf("at %v", m.clock)
			}
			if !says(events, test.reason) {
				t.Errorf("told %v", events)
			}
		})
	}
}

func TestAGoodTrialIsLeftAlone(t *testing.T) {
	for _, stage := range []Stage{Committed, Unwritten} {
		m := machine{told: at(stage, time.Minute)}
		if m.run(t.Context()); len(m.acts) > 0 || m.clock > 62*time.Second {
			t.Errorf("%s: did %q until %v", stage, m.acts, m.clock)
		}
	}
}

// The word of a commit may be lost; what counts is on the disk.
func TestACommitThatNobodyToldOfIsSeenInTheState(t *testing.T) {
	m := machine{committed: true, told: at(Committing, time.Second)}
	if m.run(t.Context()); len(m.acts) > 0 {
		t.Errorf("did %q", m.acts)
	}
}

func TestAPersonAtTheEmergencyShellIsNotInterrupted(t *testing.T) {
	m := machine{handedAt: time.Hour, told: func(now time.Duration) Progress {
		if now < 10*time.Minute {
			return Progress{Stage: Failing}
		}
		return Progress{Stage: Booting, Detail: "copy squashfs"} // the shell was left
	}}
	if m.run(t.Context()); len(m.acts) != 2 || m.clock < 10*time.Minute {
		t.Errorf("did %q at %v", m.acts, m.clock)
	}
}

func TestTheWatchdogIsFedUntilTheCommitAndThenDisarmed(t *testing.T) {
	m := machine{dog: &dog{timeout: 15 * time.Second}, dogAt: 5 * time.Second, told: at(Committed, 100*time.Second)}
	events := m.run(t.Context())
	if m.dog.open || m.dog.fed < 19 {
		t.Errorf("open %t, fed %d times", m.dog.open, m.dog.fed)
	}
	if !says(events, "is armed") || !says(events, "is disarmed") {
		t.Errorf("told %v", events)
	}
}

func TestAFailedTrialFeedsTheWatchdogNoLonger(t *testing.T) {
	m := machine{dog: &dog{timeout: 15 * time.Second}}
	m.run(t.Context())
	if len(m.acts) != 2 || !m.dog.open {
		t.Errorf("did %q, the watchdog is open: %t", m.acts, m.dog.open)
	}
}

func TestAWatchdogThatCannotBeDisarmedIsFedOn(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	m := &machine{dog: &dog{timeout: 15 * time.Second, nowayout: true}, told: at(Committed, 10*time.Second)}
	feeding := stopping{machine: m, stop: stop}
	var r step.Recorder
	_ = Deadline{Limit: time.Minute, Tell: r.Record, World: feeding}.Run(ctx)
	if m.clock < 30*time.Minute || !m.dog.open || !says(r.Events, "cannot be disarmed") {
		t.Errorf("fed until %v, told %v", m.clock, r.Events)
	}
}

// stopping is a machine that somebody powers off after half an hour.
type stopping struct {
	*machine
	stop func()
}

func (s stopping) Pause(d time.Duration) {
	if s.machine.Pause(d); s.clock > 30*time.Minute {
		s.stop()
	}
}

func TestWithoutAWatchdogItSaysSoAndWorks(t *testing.T) {
	m := machine{handedAt: 10 * time.Second}
	if events := m.run(t.Context()); !says(events, "there is no watchdog: a kernel that hangs needs a power cycle") || len(m.acts) != 2 {
		t.Errorf("did %q, told %v", m.acts, events)
	}
}

func TestAFailureThatCannotBeRecordedRestartsAllTheSame(t *testing.T) {
	m := machine{recordFail: errors.New("the medium is gone")}
	if events := m.run(t.Context()); len(m.acts) != 2 || !says(events, "the medium is gone") {
		t.Errorf("did %q, told %v", m.acts, events)
	}
}

// The step that hangs, and not one that has begun after it and is done.
func TestTheStepsThatInitIsAtAreTold(t *testing.T) {
	var s Steps
	for _, c := range []struct {
		in   step.Event
		want string // "" for no news
	}{
		{step.Event{Kind: step.Started, Step: "find the side"}, "find the side"},
		{step.Event{Kind: step.Finished, Step: "find the side"}, ""},
		{step.Event{Kind: step.Started, Step: "copy squashfs"}, "copy squashfs"},
		{step.Event{Kind: step.Note, Key: "release", Value: "20261121-100000"}, "copy squashfs"},
		{step.Event{Kind: step.Started, Step: "prepare the node's files"}, "copy squashfs, prepare the node's files"},
		{step.Event{Kind: step.Progress, Step: "copy squashfs"}, ""},
		{step.Event{Kind: step.Finished, Step: "prepare the node's files"}, "copy squashfs"},
		{step.Event{Kind: step.Started, Step: "look for duplicates"}, "copy squashfs, look for duplicates"},
		{step.Event{Kind: step.Failed, Step: "look for duplicates", Optional: true}, "copy squashfs"},
		{step.Event{Kind: step.Failed, Step: "copy squashfs"}, ""},
		{step.Event{Kind: step.Started, Step: "load drivers"}, ""}, // beside the emergency shell
		{step.Event{Kind: step.Finished, Step: "load drivers"}, ""},
		{step.Event{Kind: step.Started, Step: "copy squashfs"}, "copy squashfs"},
	} {
		p, news := s.Heard(c.in)
		if news != (c.want != "") || news && p.Detail != c.want {
			t.Errorf("after %v: got %+v, %t, want %q", c.in, p, news, c.want)
		}
	}
	if p, _ := s.Heard(step.Event{Kind: step.Started, Step: "hand over"}); p.Release != "20261121-100000" || p.Stage != Booting {
		t.Errorf("got %+v", p)
	}
}

func TestProgressIsToldAndRead(t *testing.T) {
	root := t.TempDir()
	if got := Told(root); got != (Progress{}) {
		t.Errorf("before anybody told: %+v", got)
	}
	want := Progress{Stage: Judging, Detail: "10-net", Release: "20261121-100000"}
	if err := Tell(root, want); err != nil {
		t.Fatal(err)
	}
	if got := Told(root); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
