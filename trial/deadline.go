package trial

import (
	"context"
	"fmt"
	"time"

	"psyopsOS/step"
)

// stepName is what the deadline's events are told by, and the stage in
// FAIL.ENV.
const stepName = "deadline"

// A Deadline is the guard of one trial.
type Deadline struct {
	Limit time.Duration // since the kernel's start
	Tell  step.Sink
	World World
}

// A World is what the deadline sees and does. Kernel is the real one.
type World interface {
	Now() time.Duration // since the kernel's start
	Pause(time.Duration)
	Told() Progress
	// Follow goes to where PID 1 is, and reports whether that is the new root.
	Follow() bool
	// Watchdog opens the machine's watchdog, which arms it; nil where there is
	// none.
	Watchdog() Watchdog
	// Committed asks the boot loader's state whether the side that runs is the
	// good one, once nobody else is writing it.
	Committed(context.Context) bool
	// Record writes the failure where the boot loader's state is.
	Record(reason string) error
	Restart() error
}

// A Watchdog resets the machine unless it is fed.
type Watchdog interface {
	Name() string
	Every() time.Duration // how often it wants food
	Feed() error
	// Disarm stops it, and reports whether it could be stopped.
	Disarm() bool
}

// poll is how soon a commit, the hand-over and a watchdog that was just loaded
// are noticed.
const poll = time.Second

// Bounds: a disk that does not answer must not keep the machine from
// restarting.
const (
	askState   = 15 * time.Second
	recordMost = 15 * time.Second
)

// Run guards the trial until it is over. It comes back when nothing is left to
// do, or when not even the restart could be done.
func (d Deadline) Run(ctx context.Context) error {
	handedOver, told := false, false
	var dog Watchdog
	fed := time.Duration(0)
	for {
		if !handedOver {
			handedOver = d.World.Follow()
		}
		if dog == nil {
			if dog = d.World.Watchdog(); dog != nil {
				d.note("%s is armed, and fed every %v until then", dog.Name(), dog.Every())
				fed = d.World.Now()
			} else if handedOver && !told {
				told = true
				d.note("there is no watchdog: a kernel that hangs needs a power cycle")
			}
		}
		now := d.World.Now()
		if dog != nil && now-fed >= dog.Every() {
			fed = now
			if err := dog.Feed(); err != nil {
				d.warn(err)
			}
		}
		progress := d.World.Told()
		switch Judge(now, d.Limit, progress) {
		case Over:
			return d.over(ctx, dog, progress)
		case Restart:
			if d.committed(ctx) {
				return d.over(ctx, dog, Progress{Stage: Committed})
			}
			return d.restart(Reason(d.Limit, handedOver, progress))
		}
		d.World.Pause(poll)
	}
}

func (d Deadline) committed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askState)
	defer cancel()
	done := make(chan bool, 1)
	go func() { done <- d.World.Committed(ctx) }()
	select {
	case yes := <-done:
		return yes
	case <-ctx.Done():
		return false
	}
}

// over ends the guard of a good trial. A watchdog that cannot be stopped is
// fed for as long as the machine runs.
func (d Deadline) over(ctx context.Context, dog Watchdog, p Progress) error {
	d.note("the trial is over: %s", p.Stage)
	if dog == nil {
		return nil
	}
	if dog.Disarm() {
		d.note("%s is disarmed", dog.Name())
		return nil
	}
	d.note("%s cannot be disarmed: it is fed for as long as this machine runs", dog.Name())
	for ctx.Err() == nil {
		if err := dog.Feed(); err != nil {
			d.warn(err)
		}
		d.World.Pause(dog.Every())
	}
	return nil
}

// restart ends a failed trial. From here on nobody feeds the watchdog: if even
// the restart hangs, it has the last word.
func (d Deadline) restart(reason string) error {
	d.Tell(step.Event{Time: d.World.Now(), Step: stepName, Kind: step.Failed, Message: reason,
		Hint: "the machine restarts, and the boot loader counts on; `neuralupgrade status` on the side that comes back shows this"})
	done := make(chan error, 1)
	go func() { done <- d.World.Record(reason) }()
	select {
	case err := <-done:
		d.warn(err)
	case <-time.After(recordMost):
		d.warn(fmt.Errorf("record the failure: no answer after %v", recordMost))
	}
	err := d.World.Restart()
	d.warn(err)
	return err
}

func (d Deadline) note(format string, a ...any) {
	d.Tell(step.Event{Time: d.World.Now(), Step: stepName, Kind: step.Note, Message: fmt.Sprintf(format, a...)})
}

func (d Deadline) warn(err error) {
	if err != nil {
		d.Tell(step.Event{Time: d.World.Now(), Step: stepName, Kind: step.Warning, Message: err.Error(), Hint: step.HintOf(err)})
	}
}
