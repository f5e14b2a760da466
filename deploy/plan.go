package deploy

import (
	"errors"
	"fmt"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// A Task is what is to be done with a node.
type Task string

// The tasks.
const (
	Nothing Task = "nothing" // it runs the release and has committed it
	Keep    Task = "keep"    // it runs the release on trial: look at it and commit
	Install Task = "install"
)

// A Request is what is wanted of every node.
type Request struct {
	Version string
	Size    int64 // of the release, where it is sent; 0: the node fetches it
	Source  Source

	Tries          int  // boots of the trial
	Force          bool // a version whose trial has failed
	AllowDowngrade bool
}

// A Plan is what will be done with one node, and from what.
type Plan struct {
	Task   Task
	Before Status
	Target layout.Label // the side that will run the release
	Says   string
}

// NewPlan decides from what the node says. It refuses what neuralupgrade would
// refuse too, but before anything is sent.
func NewPlan(s Status, r Request) (Plan, error) {
	p := Plan{Task: Install, Before: s, Target: s.Side.Other()}
	switch {
	case !s.Side.IsSide():
		return p, errors.New("neither side was booted, but root= of the command line: there is no other side to update")
	case s.Loader != nil:
		return p, step.WithHint(fmt.Errorf("its boot loader's state cannot be read: %w", s.Loader), "without the boot medium a node cannot be updated")
	case s.Release == r.Version:
		return p.sameRelease(s, r)
	case s.onTrial():
		return p, step.WithHint(fmt.Errorf("it runs release %s on trial, which nobody has committed", s.Release),
			"wait until the trial is over, or end it there with `neuralupgrade commit` or `neuralupgrade rollback`")
	case s.Bad == r.Version && !r.Force:
		return p, step.WithHint(fmt.Errorf("release %s has failed its trial there: %s", r.Version, s.LastFail), "--force tries it once more")
	case s.Floor > r.Version && !r.AllowDowngrade:
		return p, step.WithHint(fmt.Errorf("release %s is older than %s, which was committed there", r.Version, s.Floor), "--allow-downgrade if you mean it")
	}
	p.Says = fmt.Sprintf("%s is replaced by %s on %s", s, r.Version, p.Target)
	return p, nil
}

func (p Plan) sameRelease(s Status, r Request) (Plan, error) {
	p.Target = s.Side
	switch {
	case s.Default == s.Side:
		p.Task, p.Says = Nothing, fmt.Sprintf("%s runs and is the default", s)
	case s.onTrial():
		p.Task, p.Says = Keep, fmt.Sprintf("%s runs on trial: it is looked at and committed", s)
	default:
		return p, step.WithHint(fmt.Errorf("it runs %s as %s, but the default is %s", s, s.Why, s.Default), "`neuralupgrade set-default %s` there puts that side on trial", s.Side)
	}
	return p, nil
}

// CheckRoom refuses a release that would not fit into the node's memory, where
// it lies until it is written.
func (r Request) CheckRoom(free int64) error {
	const headroom = 64 << 20 // what an apply may take
	if r.Size+headroom <= free {
		return nil
	}
	return step.WithHint(fmt.Errorf("the release has %s, and with %s of headroom it does not fit into the node's free memory, %s",
		step.Bytes(r.Size), step.Bytes(headroom), step.Bytes(free)), "--from-repository has the node fetch it straight to the disk")
}

// Arrived judges a node that came back after its restart.
func (p Plan) Arrived(now Status, version string) error {
	if now.Side == p.Target && now.Release == version {
		if now.onTrial() || now.Default == now.Side {
			return nil
		}
		return fmt.Errorf("it runs %s as %s and not on trial", now, now.Why)
	}
	err := fmt.Errorf("it came back with %s, and not with release %s on %s", now, version, p.Target)
	if now.LastFail != "" {
		err = fmt.Errorf("%w: %s", err, now.LastFail)
	}
	return step.WithHint(err, "the node runs on as before; its console or /run/psyopsOS/boot.json tells more")
}
