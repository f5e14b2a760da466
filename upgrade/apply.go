package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/step"
)

// apply brings a release onto a side, usually the one that is not booted, and
// puts it on trial.
func apply(ctx context.Context, c *call) (int, error) {
	targets, err := c.applyTargets()
	if err != nil {
		return exitUsage, err
	}
	if c.tries < 1 || c.tries > bootstate.MaxTries {
		return exitUsage, usagef("--tries %d: the boot loader counts from 1 to %d", c.tries, bootstate.MaxTries)
	}
	if c.osTar != "" && c.osVersion != "" {
		return exitUsage, usagef("--os-tar and --os-version are two releases")
	}
	keys, err := c.keys(c.env)
	if err != nil {
		return exitError, err
	}
	own, err := c.ownKeys(c.env)
	if err != nil {
		return exitError, err
	}
	status := exitDone
	err = locked(c.env, c.patience, func() error {
		if err := c.unmountLeftovers(); err != nil {
			return err
		}
		status, err = c.applyAll(ctx, trusted{keys, own}, targets)
		return err
	})
	return max(status, exitOf(err)), err
}

// trusted are the keys that a command was given, which may be any, and the
// machine's own: by those alone it judges what lies on its disk.
type trusted struct{ given, own release.Keys }

// applySide writes a release to a side. It tells whether the next boot is
// another one by that.
func (c *call) applySide(ctx context.Context, keys trusted, target string) (trial bool, status int, err error) {
	found, err := c.release(ctx, keys.given)
	if err != nil {
		return false, exitError, err
	}
	look := Inspect
	if target != "nonbooted" {
		look = InspectFully // it may be the booted side: is the other one intact?
	}
	state, err := look(c.env, c.Settings, keys.own)
	if err != nil {
		return false, exitError, err
	}
	plan, err := NewPlan(state, Request{Target: target, Release: found.Info, Source: found.TarAddress(), Architecture: c.Architecture,
		NoBootCfg: c.noBootCfg, DefaultLabel: c.defaultLabel, Force: c.force, AllowDowngrade: c.allowDowngrade, Tries: c.tries, Confirm: string(c.confirm), Now: c.env.Now()})
	if err != nil {
		return false, exitError, err
	}
	if c.dryRun || plan.Current {
		_, err := fmt.Fprint(c.env.Stdout, plan)
		return plan.Trial && !plan.Current, exitDone, err
	}
	if status, err = c.runSteps(ctx, plan.Steps(c.env, found, keys.given)); status == exitDone {
		c.tellApplied(plan)
		c.showAtLogin()
	}
	return plan.Trial, status, err
}

// release is the one that is asked for: a file's, or the repository's.
func (c *call) release(ctx context.Context, keys release.Keys) (repo.Release, error) {
	if c.osTar != "" {
		return repo.File(ctx, keys, c.osTar)
	}
	repository, err := c.repository()
	if err != nil {
		return repo.Release{}, err
	}
	return find(ctx, repository, keys, release.OS, c.platform(release.OS), c.osVersion)
}

// tellApplied says it in the words that scripts look for.
func (c *call) tellApplied(p Plan) {
	target := "nonbooted side"
	if layout.Label(p.Side.Label) == p.Booted {
		target = "booted side"
	}
	c.inform("Updated %s %s with %s at %s", target, p.Side.Label, p.Source, p.Side.MountPoint)
	if p.Trial && p.Confirm == bootstate.ConfirmRemote {
		c.inform("%s goes on trial with the next restart; only `neuralupgrade commit` from outside keeps it", p.Side.Label)
	} else if p.Trial {
		c.inform("%s goes on trial with the next restart; `neuralupgrade commit` then keeps it", p.Side.Label)
	}
}

// commit, rollback and setDefault change the boot loader's state alone.
func commit(ctx context.Context, c *call) (int, error) {
	if report, _, err := readReport(c.env.Root); err == nil && report.Side == "" {
		return exitDone, c.say("nothing to commit: root= was booted, and no side")
	}
	c.patience = commitPatience
	return c.commitBy(ctx, NewCommit)
}

// commitPatience is how long a commit waits for another neuralupgrade: on a
// trial it comes from outside while the health service still holds the lock,
// and a refusal would cost the release its trial.
const commitPatience = 30 * time.Second

// commitBy changes the state as decide says, and tells the deadline of a trial.
func (c *call) commitBy(ctx context.Context, decide func(State, time.Time) (Change, error)) (int, error) {
	var change Change
	status, err := c.changeState(ctx, 0, func(s State) (_ Change, err error) {
		change, err = decide(s, c.env.Now())
		return change, err
	})
	if err == nil && !c.dryRun && change.Stage != "" {
		report, _, _ := readReport(c.env.Root)
		c.tellTrial(report, change.Stage, "")
	}
	return status, err
}

func rollback(ctx context.Context, c *call) (int, error) {
	return c.changeState(ctx, 0, func(s State) (Change, error) { return NewRollback(s, c.force, c.env.Now()) })
}

func setDefault(ctx context.Context, c *call) (int, error) {
	return c.changeState(ctx, 1, func(s State) (Change, error) {
		return NewDefault(s, layout.Label(c.args[0]), c.force, c.env.Now())
	})
}

func (c *call) changeState(ctx context.Context, args int, decide func(State) (Change, error)) (status int, err error) {
	if len(c.args) != args {
		return exitUsage, usagef("%d words after the command, want %d", len(c.args), args)
	}
	keys, err := c.keys(c.env)
	if err != nil {
		return exitError, err
	}
	err = locked(c.env, c.patience, func() error {
		state, err := InspectFully(c.env, c.Settings, keys)
		if err != nil {
			return err
		}
		change, err := decide(state)
		if err != nil {
			return err
		}
		if c.dryRun {
			for _, w := range change.Writes {
				fmt.Fprintf(c.env.Stdout, "write %s on %s\n", w.Path, w.Partition)
			}
		} else if err := c.write(ctx, change); err != nil {
			return err
		} else {
			c.showAtLogin()
		}
		if err := c.say(change.Says); err != nil || c.dryRun || !change.Settled {
			return err
		}
		return c.followLoader(ctx, state)
	})
	return exitOf(err), err
}

func (c *call) write(ctx context.Context, change Change) error {
	if len(change.Writes) == 0 {
		return nil
	}
	start := time.Now()
	sink := func(step.Event) {}
	if c.Verbose && !c.JSON {
		lines := step.Lines(c.env.Stderr, "", step.Verbose)
		sink = func(e step.Event) {
			if e.Kind == step.Finished { // what has failed is told by Main
				lines(e)
			}
		}
	}
	return step.Run(ctx, sink, func() time.Duration { return time.Since(start) }, changeLoader(c.env, change))
}

func (c *call) say(text string) error {
	if c.JSON {
		return json.NewEncoder(c.env.Stdout).Encode(map[string]string{"message": text})
	}
	_, err := fmt.Fprintln(c.env.Stdout, strings.TrimSpace(text))
	return err
}
