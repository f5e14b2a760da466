package upgrade

import (
	"context"
	"fmt"
	"time"

	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/step"
)

// applyTargets are the side, if any, and whether efisys is one of them.
func (c *call) applyTargets() (t struct {
	side   string
	efisys bool
}, err error) {
	if c.espTar != "" && c.espVersion != "" {
		return t, usagef("--esp-tar and --esp-version are two releases")
	}
	for _, word := range c.args {
		switch {
		case word == "efisys" && !t.efisys:
			t.efisys = true
		case word != "efisys" && t.side == "":
			t.side = word
		default:
			return t, usagef("apply wants one side (a, b, booted or nonbooted), efisys, or both, not also %q", word)
		}
	}
	switch {
	case len(c.args) == 0:
		return t, usagef("apply wants a target: a, b, booted, nonbooted, efisys")
	case !t.efisys && c.espTar+c.espVersion != "":
		return t, usagef("--esp-tar and --esp-version are for the target efisys")
	case t.side == "" && c.osTar+c.osVersion != "":
		return t, usagef("--os-tar and --os-version are for a side")
	}
	return t, nil
}

// applyAll writes a side, the EFI system partition, or both. Loader and side
// never change in the same boot. So the side comes first, and where the next
// boot tries it the loader waits until it is committed; on a disk of the first
// psyopsOS, whose loader knows no trials, it is the other way round.
func (c *call) applyAll(ctx context.Context, keys trusted, targets struct {
	side   string
	efisys bool
}) (int, error) {
	if !targets.efisys {
		_, status, err := c.applySide(ctx, keys, targets.side)
		return status, err
	}
	if targets.side == "" {
		_, status, err := c.applyESP(ctx, keys)
		return status, err
	}
	state, err := Inspect(c.env, c.Settings, keys.own)
	if err != nil {
		return exitError, err
	}
	if state.Loader.Legacy != nil && !c.noBootCfg {
		changed, status, err := c.applyESP(ctx, keys)
		if changed {
			c.inform("%s waits: the loader was changed, and a side never changes in the same boot; restart, and apply %s again", targets.side, targets.side)
		}
		return status, err
	}
	trial, status, err := c.applySide(ctx, keys, targets.side)
	if err != nil || status != exitDone {
		return status, err
	}
	if trial {
		c.inform("efisys waits: %s is on trial, and the loader never changes in the same boot; apply efisys again when it is committed", targets.side)
		return exitDone, nil
	}
	_, status, err = c.applyESP(ctx, keys)
	return status, err
}

func (c *call) inform(format string, a ...any) {
	if !c.JSON && !c.Quiet {
		fmt.Fprintf(c.env.Stderr, "neuralupgrade INFO "+format+"\n", a...)
	}
}

// applyESP brings a release onto the EFI system partition.
func (c *call) applyESP(ctx context.Context, keys trusted) (changed bool, status int, err error) {
	found, err := c.espRelease(ctx, keys.given)
	if err != nil {
		return false, exitError, err
	}
	rel, err := fetchESP(ctx, keys.given, found)
	if err != nil {
		return false, exitError, err
	}
	state, err := Inspect(c.env, c.Settings, keys.own)
	if err != nil {
		return false, exitError, err
	}
	var foreign error
	if _, err := keys.own.Info(found.Signatures...); err != nil {
		foreign = fmt.Errorf("this node's own keys do not vouch for the release: %w", err)
	}
	plan, err := NewESPPlan(state, ESPRequest{Release: rel, Source: found.TarAddress(), Firmware: c.Firmware, Foreign: foreign,
		Force: c.force, AllowDowngrade: c.allowDowngrade, Now: c.env.Now()})
	if err != nil {
		return false, exitError, err
	}
	if c.dryRun || plan.Current {
		_, err := fmt.Fprint(c.env.Stdout, plan)
		return plan.Swap, exitDone, err
	}
	if status, err = c.runSteps(ctx, plan.Steps(c.env, keys.own)); status == exitDone {
		c.inform("Updated efisys %s with %s at %s", plan.Firmware.Label, plan.Source, plan.Firmware.Device.Path())
		c.tellLoader(plan)
	}
	return plan.Swap && status == exitDone, status, err
}

// tellLoader tells what becomes of the new loader, as it is on the disk now.
func (c *call) tellLoader(plan ESPPlan) {
	if report, _, err := readReport(c.env.Root); err == nil && plan.Once {
		if word := loaderNow(c.env, c.Settings, report).onceWord(); word != "" {
			c.inform("the loader of release %s", word)
			return
		}
	}
	plan.Once = false
	if said := plan.second(); said != "" {
		c.inform("%s", said[:len(said)-1])
	}
	if why := plan.Unasked; why != nil && plan.Swap && !plan.treeIsNew() {
		c.inform("the firmware could not try the loader first: %v", why)
	}
}

func (c *call) espRelease(ctx context.Context, keys release.Keys) (repo.Release, error) {
	if c.espTar != "" {
		return repo.File(ctx, keys, c.espTar)
	}
	repository, err := c.repository()
	if err != nil {
		return repo.Release{}, err
	}
	return find(ctx, repository, keys, release.ESP, c.platform(release.ESP), c.espVersion)
}

// followLoader makes the loader of a boot that is good the default, where that
// waits for it, and gives it to the second EFI system partition.
func (c *call) followLoader(ctx context.Context, s State) error {
	silently := func(name string, do func(*step.Reporter) error) error {
		start := time.Now()
		return step.Run(ctx, func(step.Event) {}, func() time.Duration { return time.Since(start) },
			step.Step{Name: name, Do: func(_ context.Context, r *step.Reporter) error { return do(r) }})
	}
	waiting := s.isWaiting()
	if waiting {
		if err := silently("make the new loader the default", func(r *step.Reporter) error { return makeDefault(c.env, s, r) }); err != nil {
			return err
		}
		if s.Loader.runsOnce() {
			s.Loader.On1 = s.Loader.Once.Spare
		}
		if err := c.say(fmt.Sprintf("the loader, on %s, is version %s now, as the one that runs", s.Loader.First, s.Loader.Running)); err != nil {
			return err
		}
	}
	if s.Loader.runsOnce() && !waiting {
		return c.say(fmt.Sprintf("the loader of release %s stays on trial: no key that this commit was given vouches for its release", s.Loader.Running))
	}
	if !s.Loader.secondIsBehind() {
		return nil
	}
	err := silently("bring the second loader up", func(r *step.Reporter) error {
		return bringSecondUp(c.env, s.Loader, s.Firmware, c.env.Now(), r)
	})
	if err != nil {
		return err
	}
	return c.say(fmt.Sprintf("the second loader, on %s, is version %s now, as the one that runs", s.Loader.Second, s.Loader.Running))
}
