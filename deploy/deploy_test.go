package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/deploy"
	"psyopsOS/deploy/deploytest"
	"psyopsOS/layout"
	"psyopsOS/step"
)

const (
	older = "20261120-100000"
	newer = "20261121-100000"
)

func request() deploy.Request {
	return deploy.Request{Version: newer, Size: 1000, Source: deploy.Source{Tar: "os.tar"}, Tries: 1}
}

func options(nodes map[string]*deploytest.Node) deploy.Options {
	return deploy.Options{Request: request(), Dial: deploytest.Fleet(nodes), Wave: 1, Back: time.Second, Patience: 20 * time.Millisecond, Pause: time.Millisecond}
}

func runner(events *step.Recorder) *step.Runner {
	start := time.Now()
	return &step.Runner{Sink: events.Record, Now: func() time.Duration { return time.Since(start) }}
}

func run(ctx context.Context, o deploy.Options, names ...string) []deploy.Result {
	var hosts []deploy.Host
	for _, name := range names {
		hosts = append(hosts, deploy.Host{Name: name, Addresses: []string{name + ":22"}})
	}
	return o.Run(ctx, runner(&step.Recorder{}), hosts)
}

func TestANodeGetsTheReleaseAndKeepsIt(t *testing.T) {
	n := deploytest.New(older)
	n.Away = 0
	n.Break = func(_ context.Context, call string) error {
		if call == "restart" {
			n.Away = 3
		}
		return nil
	}
	o := options(map[string]*deploytest.Node{"web1": n})
	looked := 0
	o.Outside = func(_ context.Context, h deploy.Host, version string) error {
		if looked++; looked == 1 {
			return errors.New("the service is still starting")
		}
		if n.Good != layout.SideA || version != newer || h.Name != "web1" {
			t.Errorf("looked at %s, release %s, while %s is the default", h.Name, version, n.Good)
		}
		return nil
	}
	results := run(context.Background(), o, "web1")
	results[0].Seconds = 0
	want := []deploy.Result{{Host: "web1", Outcome: deploy.Committed, Before: "psyopsOS-A " + older, After: "psyopsOS-B " + newer}}
	if !reflect.DeepEqual(results, want) {
		t.Errorf("got %+v\nwant %+v", results, want)
	}
	calls := slices.Compact(n.Calls)
	if got, want := strings.Join(calls, " "), "dial status room send apply restart dial status commit status"; got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
	if n.Good != layout.SideB || looked != 2 {
		t.Errorf("the default is %s after %d looks from outside", n.Good, looked)
	}
	// Once more there is nothing to do.
	n.Calls = nil
	if again := run(context.Background(), o, "web1"); again[0].Outcome != deploy.UpToDate || strings.Join(n.Calls, " ") != "dial status" {
		t.Errorf("once more: %+v, asked %q", again[0], n.Calls)
	}
}

// Whichever call breaks: nothing behind it is done, nothing is committed, and
// the node runs the old release for good after its deadline.
func TestWhateverBreaksTheNodeEndsWell(t *testing.T) {
	for call, left := range map[string]string{
		"dial": "nothing was changed", "status": "nothing was changed", "room": "nothing was changed", "send": "nothing was changed",
		"apply": "may be incomplete", "restart": "next restart", "wait": "falls back by itself", "outside": "falls back by itself", "commit": "is not known",
	} {
		for _, stopped := range []bool{false, true} {
			t.Run(fmt.Sprint(call, ", stopped by the user: ", stopped), func(t *testing.T) {
				ctx, stop := context.WithCancel(context.Background())
				defer stop()
				fails := func() error {
					if stopped {
						stop()
						return context.Canceled
					}
					return errors.New("broken")
				}
				n := deploytest.New(older)
				n.Break = func(_ context.Context, got string) error {
					if got == call || call == "wait" && got == "dial" && n.Boots == 2 {
						return fails()
					}
					return nil
				}
				o := options(map[string]*deploytest.Node{"web1": n, "web2": deploytest.New(older)})
				o.Back = 20 * time.Millisecond
				o.Outside = func(context.Context, deploy.Host, string) error {
					if call == "outside" {
						return fails()
					}
					return nil
				}
				results := run(ctx, o, "web1", "web2")
				r := results[0]
				want := deploy.Failed
				if stopped {
					want = deploy.Stopped
				} else if call == "room" {
					want = deploy.Refused
				}
				if r.Outcome != want || r.Error == "" || !strings.Contains(r.Left, left) {
					t.Errorf("got %+v, want it %s and left with %q", r, want, left)
				}
				if results[1].Outcome != deploy.NotStarted {
					t.Errorf("the next node: %+v", results[1])
				}
				if n.Good != layout.SideA {
					t.Errorf("%s is the default", n.Good)
				}
				if last := n.Calls[len(n.Calls)-1]; call != "outside" && call != "wait" && last != call {
					t.Errorf("after %s broke, %s was asked", call, last)
				}
				n.Deadline()
				n.Deadline()
				if n.Booted != layout.SideA || n.Sides[n.Booted] != older {
					t.Errorf("in the end it runs %s with %s", n.Booted, n.Sides[n.Booted])
				}
				if deploy.Err(results) == nil {
					t.Error("no error")
				}
			})
		}
	}
}

func TestATrialThatFallsBackIsNotCommitted(t *testing.T) {
	n := deploytest.New(older)
	n.BadBoot = true
	r := run(context.Background(), options(map[string]*deploytest.Node{"web1": n}), "web1")[0]
	if r.Outcome != deploy.Failed || r.Step != "wait for psyopsOS-B" || !strings.Contains(r.Error, "came back with psyopsOS-A "+older) || slices.Contains(n.Calls, "commit") {
		t.Errorf("got %+v after %q", r, n.Calls)
	}
}

// A node that is still shutting down is waited for, and not taken for one that
// came back.
func TestANodeThatLingersInItsOldBootIsWaitedFor(t *testing.T) {
	n := deploytest.New(older)
	n.Break = func(_ context.Context, call string) error {
		if call == "restart" {
			n.Lingers = 3
		}
		return nil
	}
	if r := run(context.Background(), options(map[string]*deploytest.Node{"web1": n}), "web1")[0]; r.Outcome != deploy.Committed {
		t.Errorf("got %+v", r)
	}
}

func TestACommitIsLookedAfter(t *testing.T) {
	n := deploytest.New(older)
	n.Forgets = true
	r := run(context.Background(), options(map[string]*deploytest.Node{"web1": n}), "web1")[0]
	if r.Outcome != deploy.Failed || !strings.Contains(r.Error, "its default is psyopsOS-A") {
		t.Errorf("got %+v", r)
	}
}

// A deployment that was broken off after the restart goes on where it was.
func TestATrialThatRunsIsLookedAtAndCommitted(t *testing.T) {
	n := deploytest.New(older)
	n.Sides[layout.SideB], n.Booted, n.Why, n.Trial = newer, layout.SideB, "trial0", layout.SideB
	r := run(context.Background(), options(map[string]*deploytest.Node{"web1": n}), "web1")[0]
	if got := strings.Join(n.Calls, " "); r.Outcome != deploy.Committed || got != "dial status commit status" {
		t.Errorf("got %+v, asked %s", r, got)
	}
}

func TestWavesAndTheFirstFailure(t *testing.T) {
	nodes := map[string]*deploytest.Node{}
	var names []string
	for i := range 5 {
		names = append(names, fmt.Sprint("n", i))
		nodes[names[i]] = deploytest.New(older)
	}
	nodes["n2"].BadBoot = true
	o := options(nodes)
	o.Wave = 2
	var outcomes []deploy.Outcome
	results := run(context.Background(), o, names...)
	for _, r := range results {
		outcomes = append(outcomes, r.Outcome)
	}
	want := []deploy.Outcome{deploy.Committed, deploy.Committed, deploy.Failed, deploy.Committed, deploy.NotStarted}
	if !slices.Equal(outcomes, want) || len(nodes["n4"].Calls) > 0 {
		t.Errorf("got %q, want %q; of the last node was asked %q", outcomes, want, nodes["n4"].Calls)
	}
	if err := deploy.Err(results); err == nil || err.Error() != "of 5 nodes: 1 failed, 1 not started" {
		t.Errorf("got %v", err)
	}
	var b strings.Builder
	if err := deploy.Table(&b, results); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"NODE  OUTCOME      BEFORE", "n0    committed    psyopsOS-A 20261120-100000  psyopsOS-B 20261121-100000", "n4    not started  -", "n2: wait for psyopsOS-B: it came back with psyopsOS-A", "  left: the trial is not committed"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no %q in\n%s", line, &b)
		}
	}
}

func TestADryRunOnlyLooks(t *testing.T) {
	nodes := map[string]*deploytest.Node{"a": deploytest.New(older), "b": deploytest.New("20261122-000000"), "c": deploytest.New(newer)}
	o := options(nodes)
	o.DryRun = true
	results := run(context.Background(), o, "a", "b", "c")
	if got := []deploy.Outcome{results[0].Outcome, results[1].Outcome, results[2].Outcome}; !slices.Equal(got, []deploy.Outcome{deploy.Planned, deploy.Refused, deploy.UpToDate}) {
		t.Errorf("got %q", got)
	}
	if results[0].Plan != "psyopsOS-A 20261120-100000 is replaced by 20261121-100000 on psyopsOS-B" {
		t.Errorf("got %q", results[0].Plan)
	}
	for name, n := range nodes {
		for _, call := range n.Calls {
			if call != "dial" && call != "status" && call != "room" {
				t.Errorf("%s was asked to %s", name, call)
			}
		}
	}
}

func TestThePlanner(t *testing.T) {
	good := deploy.Status{Boot: "1", Side: layout.SideA, Why: "good", Release: older, Default: layout.SideA, Floor: older}
	change := func(f func(*deploy.Status)) deploy.Status {
		s := good
		f(&s)
		return s
	}
	for _, tt := range []struct {
		name    string
		s       deploy.Status
		r       func(*deploy.Request)
		task    deploy.Task
		target  layout.Label
		refusal string
	}{
		{"an older release is replaced", good, nil, deploy.Install, layout.SideB, ""},
		{"from side B it goes to A", change(func(s *deploy.Status) { s.Side, s.Default = layout.SideB, layout.SideB }), nil, deploy.Install, layout.SideA, ""},
		{"a fallback is a place to go on from", change(func(s *deploy.Status) { s.Why, s.Default = "fallback", layout.SideB }), nil, deploy.Install, layout.SideB, ""},
		{"the release runs and is the default", change(func(s *deploy.Status) { s.Release = newer }), nil, deploy.Nothing, layout.SideA, ""},
		{"the release was a trial and is committed", change(func(s *deploy.Status) { s.Release, s.Why = newer, "trial2" }), nil, deploy.Nothing, layout.SideA, ""},
		{"the release runs on trial", change(func(s *deploy.Status) {
			s.Release, s.Why, s.Trial, s.Default = newer, "trial0", layout.SideA, layout.SideB
		}), nil, deploy.Keep, layout.SideA, ""},
		{"the release was chosen by hand", change(func(s *deploy.Status) { s.Release, s.Why, s.Default = newer, "menu", layout.SideB }), nil, "", "", "but the default is psyopsOS-B"},
		{"another release is on trial", change(func(s *deploy.Status) { s.Why, s.Trial, s.Default = "trial1", layout.SideA, layout.SideB }), nil, "", "", "on trial, which nobody has committed"},
		{"no side was booted", change(func(s *deploy.Status) { s.Side = "" }), nil, "", "", "neither side was booted"},
		{"the medium was pulled out", change(func(s *deploy.Status) { s.Loader = errors.New("the disk that was booted is not there") }), nil, "", "", "is not there"},
		{"the release has failed there", change(func(s *deploy.Status) { s.Bad = newer }), nil, "", "", "has failed its trial"},
		{"and is wanted all the same", change(func(s *deploy.Status) { s.Bad = newer }), func(r *deploy.Request) { r.Force = true }, deploy.Install, layout.SideB, ""},
		{"it is a downgrade", change(func(s *deploy.Status) { s.Floor = "20261122-000000" }), nil, "", "", "is older than 20261122-000000"},
		{"and is meant", change(func(s *deploy.Status) { s.Floor = "20261122-000000" }), func(r *deploy.Request) { r.AllowDowngrade = true }, deploy.Install, layout.SideB, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request()
			if tt.r != nil {
				tt.r(&r)
			}
			p, err := deploy.NewPlan(tt.s, r)
			if tt.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refusal) {
					t.Errorf("got %v, want a refusal with %q", err, tt.refusal)
				}
				return
			}
			if err != nil || p.Task != tt.task || p.Target != tt.target {
				t.Errorf("got %q to %s, %v; want %q to %s", p.Task, p.Target, err, tt.task, tt.target)
			}
		})
	}
}

func TestAReleaseThatDoesNotFitIntoMemoryIsRefused(t *testing.T) {
	r := deploy.Request{Size: 100 << 20}
	if err := r.CheckRoom(164 << 20); err != nil {
		t.Error(err)
	}
	if err := r.CheckRoom(164<<20 - 1); err == nil || !strings.Contains(step.HintOf(err), "--from-repository") {
		t.Errorf("got %v", err)
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"side":"psyopsOS-A","why":"good","facts":{"release":"20261121-100000","nodename":"web1"},"loader":{"default":"psyopsOS-A","trial":"","bad":"","floor":""}}`))
	f.Add([]byte(`{"side":"psyopsOS-A","loader":{"error":"gone"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := deploy.ParseStatus(text)
		if err == nil && s.Loader == nil && !strings.Contains(strings.ToLower(string(text)), "loader") {
			t.Errorf("a loader from nowhere in %q", text)
		}
		_, _ = deploy.NewPlan(s, request())
	})
}
