package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"psyopsOS/step"
)

// An Outcome is how it went with a node.
type Outcome string

// The outcomes.
const (
	Committed  Outcome = "committed"
	UpToDate   Outcome = "up to date"
	Planned    Outcome = "planned" // of a dry run
	Refused    Outcome = "refused"
	Failed     Outcome = "failed"
	Stopped    Outcome = "stopped" // by the user
	NotStarted Outcome = "not started"
)

// Good reports whether the node is as it was wished.
func (o Outcome) Good() bool { return o == Committed || o == UpToDate || o == Planned }

// A Result is what happened with a node.
type Result struct {
	Host    string  `json:"host"`
	Outcome Outcome `json:"outcome"`
	Before  string  `json:"before,omitempty"` // side and release
	After   string  `json:"after,omitempty"`
	Plan    string  `json:"plan,omitempty"` // of a dry run
	Step    string  `json:"step,omitempty"` // that failed
	Error   string  `json:"error,omitempty"`
	Hint    string  `json:"hint,omitempty"`
	Left    string  `json:"left,omitempty"` // how a node that is not done was left
	Seconds float64 `json:"seconds"`
}

// Options are how a deployment goes about it.
type Options struct {
	Request
	Dial     Dial
	DryRun   bool
	Wave     int                                                     // nodes at once
	Back     time.Duration                                           // how long a restart may take
	Outside  func(ctx context.Context, h Host, version string) error // looks from outside; nil: no further look
	Patience time.Duration                                           // how long Outside may fail before the node has failed
	Pause    time.Duration                                           // between two looks
}

// What a node does by itself, however a deployment ended.
const (
	leftUntouched = "nothing was changed"
	leftApplying  = "it runs on as before; the other side may be incomplete, and doing it again finishes it"
	leftPending   = "the other side is on trial from the next restart on; nobody will commit it, so it falls back by itself. `tk deployos` once more goes on, `neuralupgrade rollback` there gives the trial up"
	leftTrial     = "the trial is not committed: at its deadline, 10 minutes after its start where nothing else is set, the node falls back by itself. `tk deployos` once more before that looks and commits"
	leftUnknown   = "whether the commit was done is not known: without it the node falls back by itself. `tk deployos` once more looks"
)

// deployment is one node's. Each field is written by the step named beside it.
type deployment struct {
	Options
	host    Host
	machine Machine // look, wait; nil while there is no connection
	plan    Plan    // look
	result  Result
}

// one brings the release to one node. It tells every step through run.
func (o Options) one(ctx context.Context, run *step.Runner, h Host) Result {
	start := run.Now()
	d := &deployment{Options: o, host: h, result: Result{Host: h.Name, Left: leftUntouched}}
	err := run.Run(ctx, d.step("look", d.look))
	if err == nil && !o.DryRun {
		err = run.Run(ctx, d.steps()...)
	}
	d.hangUp()
	d.end(ctx, err)
	d.result.Seconds = (run.Now() - start).Round(time.Millisecond).Seconds()
	return d.result
}

// steps are what the plan's task needs, in an order in which whatever ends the
// deployment leaves a node that ends well by itself.
func (d *deployment) steps() (steps []step.Step) {
	if d.plan.Task == Nothing {
		return nil
	}
	if d.plan.Task == Install {
		if d.Source.Sent() {
			steps = append(steps, d.step("send the release", d.send))
		}
		steps = append(steps, d.step("apply", d.apply), d.step("restart", d.restart), d.step("wait for "+string(d.plan.Target), d.wait))
	}
	if d.Outside != nil {
		steps = append(steps, d.step("look from outside", d.lookFromOutside))
	}
	return append(steps, d.step("commit", d.commit))
}

func (d *deployment) step(name string, do func(context.Context, *step.Reporter) error) step.Step {
	return step.Step{Name: d.host.Name + ": " + name, Do: func(ctx context.Context, r *step.Reporter) error {
		err := do(ctx, r)
		if err != nil {
			d.result.Step = name
		}
		return err
	}}
}

// end says how it went.
func (d *deployment) end(ctx context.Context, err error) {
	switch {
	case err == nil && d.DryRun && d.plan.Task != Nothing:
		d.result.Outcome, d.result.Plan = Planned, d.plan.Says
	case err == nil && d.plan.Task == Nothing:
		d.result.Outcome, d.result.After = UpToDate, d.result.Before
	case err == nil:
		d.result.Outcome = Committed
	case ctx.Err() != nil:
		d.result.Outcome = Stopped
	case d.result.Step == "look" && d.plan.Before.Boot != "":
		d.result.Outcome = Refused
	default:
		d.result.Outcome = Failed
	}
	if err == nil {
		d.result.Left = ""
		return
	}
	var failed *step.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	d.result.Error, d.result.Hint = err.Error(), step.HintOf(err)
}

func (d *deployment) hangUp() {
	if d.machine != nil {
		_ = d.machine.Close() // nothing is said over it any more
		d.machine = nil
	}
}

func (d *deployment) look(ctx context.Context, r *step.Reporter) (err error) {
	if d.machine, err = d.Dial(ctx, d.host); err != nil {
		return err
	}
	status, err := d.machine.Status(ctx)
	if err != nil {
		return err
	}
	d.plan.Before, d.result.Before = status, status.String()
	if d.plan, err = NewPlan(status, d.Request); err != nil {
		return err
	}
	if d.plan.Task == Keep {
		d.result.Left = leftTrial
	}
	if d.plan.Task == Install && d.Source.Sent() {
		free, err := d.machine.Room(ctx)
		if err == nil {
			err = d.CheckRoom(free)
		}
		if err != nil {
			return err
		}
	}
	r.Note("%s", d.plan.Says)
	return nil
}

func (d *deployment) send(ctx context.Context, r *step.Reporter) error {
	return d.machine.Send(ctx, d.Source, r.Progress)
}

// apply passes on what neuralupgrade tells of its own steps.
func (d *deployment) apply(ctx context.Context, r *step.Reporter) error {
	d.result.Left = leftApplying
	var failure error
	err := d.machine.Apply(ctx, d.Request, func(e step.Event) {
		switch e.Kind {
		case step.Progress:
			r.Progress(e.Done, e.Total)
		case step.Finished:
			r.Note("%s", e)
		case step.Warning:
			r.Warn(hintedBy(fmt.Errorf("%s: %s", e.Step, e.Message), e.Hint))
		case step.Failed:
			failure = hintedBy(fmt.Errorf("%s: %s", e.Step, e.Message), e.Hint)
		}
	})
	if err != nil && failure != nil && ctx.Err() == nil {
		return failure
	}
	if err == nil {
		d.result.Left = leftPending
	}
	return err
}

func hintedBy(err error, hint string) error {
	if hint == "" {
		return err
	}
	return step.WithHint(err, "%s", hint)
}

func (d *deployment) restart(ctx context.Context, _ *step.Reporter) error {
	err := d.machine.Restart(ctx)
	if err == nil {
		d.result.Left = leftTrial
	}
	return err
}

// wait waits until the node has booted again, whatever it has booted, and
// judges that.
func (d *deployment) wait(ctx context.Context, _ *step.Reporter) error {
	d.hangUp()
	limited, cancel := context.WithTimeoutCause(ctx, d.Back, fmt.Errorf("it did not come back within %s", d.Back))
	defer cancel()
	var last error
	for {
		status, err := d.lookAgain(limited)
		switch {
		case err == nil && status.Boot != d.plan.Before.Boot:
			d.result.After = status.String()
			return d.plan.Arrived(status, d.Version)
		case err == nil:
			last = errors.New("it has not restarted yet")
		case limited.Err() == nil || last == nil:
			last = err
		}
		d.hangUp()
		if !sleep(limited, d.Pause) {
			return fmt.Errorf("%w: %w", context.Cause(limited), last)
		}
	}
}

// lookAgain gives up a node that has taken the connection and says nothing.
func (d *deployment) lookAgain(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, lookMost)
	defer cancel()
	var err error
	if d.machine, err = d.Dial(ctx, d.host); err != nil {
		return Status{}, err
	}
	return d.machine.Status(ctx)
}

// lookMost is how long one look at a node may take.
const lookMost = 30 * time.Second

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// lookFromOutside asks again while services start.
func (d *deployment) lookFromOutside(ctx context.Context, r *step.Reporter) error {
	limited, cancel := context.WithTimeout(ctx, d.Patience)
	defer cancel()
	for tries := 1; ; tries++ {
		err := d.Outside(limited, d.host, d.Version)
		if err == nil {
			return nil
		}
		if !sleep(limited, d.Pause) {
			return step.WithHint(fmt.Errorf("%d times within %s: %w", tries, d.Patience, err), "the trial is not committed, and the node falls back by itself")
		}
	}
}

// commit is the only act that makes the release stay, and is looked after.
func (d *deployment) commit(ctx context.Context, _ *step.Reporter) error {
	d.result.Left = leftUnknown
	if err := d.machine.Commit(ctx); err != nil {
		return err
	}
	status, err := d.machine.Status(ctx)
	if err != nil {
		return err
	}
	d.result.After = status.String()
	if status.Default != d.plan.Target || status.Release != d.Version {
		return fmt.Errorf("after the commit it runs %s, and its default is %s", status, status.Default)
	}
	return nil
}
