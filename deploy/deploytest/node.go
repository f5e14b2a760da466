// Package deploytest has nodes for tests of deploy: two sides, a boot loader's
// state and a restart, as a node has them, and a way to break each call.
package deploytest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"psyopsOS/deploy"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// A Node runs a side and does what neuralupgrade would.
type Node struct {
	mutex sync.Mutex

	Sides   map[layout.Label]string // the releases' versions
	Booted  layout.Label
	Why     string
	Good    layout.Label
	Trial   layout.Label // that the next restart begins, or that runs
	Floor   string
	Bad     string
	Free    int64
	Boots   int
	Away    int   // so many dials after a restart fail
	BadBoot bool  // a trial falls back before it can be reached
	Lingers int   // so many dials after the restart was begun still reach the old boot
	Forgets bool  // a commit says that it was done, and was not
	Has     int64 // bytes of the release that were brought

	Calls []string                                     // in order
	Break func(ctx context.Context, call string) error // asked before each call
}

// New is a node that runs a release from side A and has committed it.
func New(version string) *Node {
	return &Node{Sides: map[layout.Label]string{layout.SideA: version}, Booted: layout.SideA, Why: "good", Good: layout.SideA, Floor: version, Free: 1 << 30, Boots: 1}
}

// Fleet dials nodes by their names.
func Fleet(nodes map[string]*Node) deploy.Dial {
	return func(ctx context.Context, h deploy.Host) (deploy.Machine, error) {
		n, ok := nodes[h.Name]
		if !ok {
			return nil, fmt.Errorf("no route to %s", h.Name)
		}
		if err := n.call(ctx, "dial"); err != nil {
			return nil, err
		}
		n.mutex.Lock()
		defer n.mutex.Unlock()
		if n.Lingers > 0 {
			if n.Lingers--; n.Lingers == 0 {
				n.restart()
			}
		}
		if n.Away > 0 {
			n.Away--
			return nil, errors.New("connection refused")
		}
		return &connection{n, n.Boots}, nil
	}
}

// call notes what is asked of the node, and fails where it is told to.
func (n *Node) call(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	n.mutex.Lock()
	n.Calls = append(n.Calls, name)
	breaks := n.Break
	n.mutex.Unlock()
	if breaks != nil {
		return breaks(ctx, name)
	}
	return nil
}

// A connection ends with the boot in which it was made.
type connection struct {
	n    *Node
	boot int
}

func (c *connection) do(ctx context.Context, name string, change func(n *Node) error) error {
	if err := c.n.call(ctx, name); err != nil {
		return err
	}
	c.n.mutex.Lock()
	defer c.n.mutex.Unlock()
	if c.boot != c.n.Boots {
		return errors.New("connection reset by peer")
	}
	return change(c.n)
}

func (c *connection) Status(ctx context.Context) (s deploy.Status, err error) {
	err = c.do(ctx, "status", func(n *Node) error {
		s = deploy.Status{Boot: fmt.Sprint("boot ", n.Boots), Side: n.Booted, Why: n.Why, Release: n.Sides[n.Booted], Default: n.Good, Trial: n.Trial, Floor: n.Floor, Bad: n.Bad}
		if n.Bad != "" {
			s.LastFail = "release " + n.Bad + ": no report"
		}
		return nil
	})
	return s, err
}

func (c *connection) Room(ctx context.Context) (free int64, err error) {
	err = c.do(ctx, "room", func(n *Node) error { free = n.Free; return nil })
	return free, err
}

func (c *connection) Send(ctx context.Context, _ deploy.Source, progress func(done, total int64)) error {
	return c.do(ctx, "send", func(n *Node) error {
		progress(1000, 1000)
		n.Has = 1000
		return nil
	})
}

func (c *connection) Apply(ctx context.Context, r deploy.Request, tell step.Sink) error {
	return c.do(ctx, "apply", func(n *Node) error {
		if r.Source.Sent() && n.Has == 0 {
			return errors.New("no such file")
		}
		other := n.Booted.Other()
		tell(step.Event{Kind: step.Progress, Step: "write", Done: 1000, Total: 1000})
		tell(step.Event{Kind: step.Finished, Step: "write " + string(other)})
		n.Sides[other], n.Trial, n.Has = r.Version, other, 0
		return nil
	})
}

func (c *connection) Restart(ctx context.Context) error {
	return c.do(ctx, "restart", func(n *Node) error {
		if n.Lingers == 0 {
			n.restart()
		}
		return nil
	})
}

// restart is what the boot loader does with one try.
func (n *Node) restart() {
	n.Boots++
	switch {
	case n.Trial != "" && n.Trial != n.Booted && !n.BadBoot:
		n.Booted, n.Why = n.Trial, "trial0"
	case n.Trial != "":
		n.Bad, n.Booted, n.Why, n.Trial = n.Sides[n.Trial], n.Good, "fallback", ""
	default:
		n.Booted, n.Why = n.Good, "good"
	}
}

// Deadline is the end of a trial that nobody has committed.
func (n *Node) Deadline() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.Trial != "" {
		n.restart()
	}
}

func (c *connection) Commit(ctx context.Context) error {
	return c.do(ctx, "commit", func(n *Node) error {
		if n.Trial != n.Booted {
			return errors.New("nothing to commit")
		}
		if n.Forgets {
			return nil
		}
		n.Good, n.Trial, n.Floor = n.Booted, "", n.Sides[n.Booted]
		return nil
	})
}

// Close closes nothing.
func (c *connection) Close() error { return nil }
