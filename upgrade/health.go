package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
	"psyopsOS/trial"
)

// healthPatience is how long the verdict waits for another neuralupgrade: an
// update that somebody runs meanwhile must not cost a release its commit.
const healthPatience = 10 * time.Minute

// A Verdict is what the checks came to: layout.StatusDir/health, as JSON.
type Verdict struct {
	Healthy bool          `json:"healthy"`
	Time    time.Time     `json:"time"`
	Checks  []CheckResult `json:"checks"`
}

// A CheckResult is what one program said.
type CheckResult struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Problem string  `json:"problem,omitempty"` // empty of a healthy one
}

// problems are those of all checks that failed.
func (v Verdict) problems() string {
	var all []string
	for _, c := range v.Checks {
		if c.Problem != "" {
			all = append(all, c.Name+": "+c.Problem)
		}
	}
	return strings.Join(all, "; ")
}

// health judges this boot. A healthy one is committed; an unhealthy trial is
// recorded and ends in a restart, after which the boot loader counts on. On a
// side that is no trial nothing is restarted: a machine that serves badly is
// better than one that restarts for ever.
func health(ctx context.Context, c *call) (int, error) {
	if err := c.noArgs(); err != nil {
		return exitUsage, err
	}
	if c.CheckLimit <= 0 {
		return exitUsage, usagef("check-limit = %v: a check needs some time", c.CheckLimit)
	}
	report, _, err := readReport(c.env.Root)
	if err != nil {
		return exitError, err
	}
	c.patience = healthPatience
	verdict := judge(ctx, filepath.Join(c.env.Root, layout.HealthDir), c.CheckLimit, c.env.Now,
		func(check string) { c.tellTrial(report, trial.Judging, check) })
	if err := verdict.write(c.env.Root); err != nil {
		return exitError, err
	}
	if report.Side == "" {
		return exitDone, c.say("root= of the command line: there is no side to commit")
	}
	if verdict.Healthy {
		return c.commitHealthy(ctx, report)
	}
	err = step.WithHint(fmt.Errorf("this boot is not healthy: %s", verdict.problems()),
		"the checks are the programs in %s", layout.HealthDir)
	if !bootstate.Why(report.Why).IsTrial() {
		return exitError, err
	}
	c.tellTrial(report, trial.Unhealthy, verdict.problems())
	version, _ := report.Facts["release"].(string)
	failure := bootstate.Fail{Side: report.Side, Version: version, Stage: "health", Reason: verdict.problems()}
	return exitError, errors.Join(err, c.recordFailure(ctx, failure), c.env.Restart())
}

// tellTrial tells the deadline of a trial how it goes (package trial). That it
// cannot be told does not matter: the deadline also reads the state.
func (c *call) tellTrial(report boot.Report, stage trial.Stage, detail string) {
	if report.Side != "" && bootstate.Why(report.Why).IsTrial() {
		_ = trial.Tell(c.env.Root, trial.Progress{Stage: stage, Detail: detail})
	}
}

// returning is how often a disk that was pulled out is looked for, and how
// often a commit is tried anew once it is there: its partitions come one by one.
const (
	returning   = 2 * time.Second
	afterReturn = 15
)

// commitHealthy commits a healthy boot. Where the medium was pulled out the
// machine stays up, which is what a trial is for, and the commit waits until
// the same disk is back.
func (c *call) commitHealthy(ctx context.Context, report boot.Report) (int, error) {
	c.tellTrial(report, trial.Committing, "")
	for tries, waited := 0, false; ; {
		status, err := c.commitBy(ctx, NewHealthyCommit)
		switch gone := c.mediumGone(report); {
		case err == nil:
			return status, nil
		case gone && !waited:
			waited = true
			c.tellTrial(report, trial.Unwritten, "")
			if err := c.say("healthy; the disk that was booted was pulled out: the commit waits until it is back"); err != nil {
				return exitError, err
			}
		case !gone && (!waited || tries == afterReturn):
			c.tellTrial(report, trial.Committing, err.Error())
			return status, err
		case !gone:
			tries++
		}
		select {
		case <-ctx.Done():
			return exitError, context.Cause(ctx)
		case <-time.After(returning):
		}
	}
}

// mediumGone reports whether the disk that was booted is not there.
func (c *call) mediumGone(report boot.Report) bool {
	i := inspector{e: c.env}
	return report.Disk != "" && i.look(report) == nil && i.disk == ""
}

// judge runs the programs of dir, by name. No folder is no check.
// tell hears the name of each before it runs.
func judge(ctx context.Context, dir string, limit time.Duration, now func() time.Time, tell func(check string)) Verdict {
	v := Verdict{Healthy: true, Time: now().UTC(), Checks: []CheckResult{}}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.Healthy = false
		v.Checks = append(v.Checks, CheckResult{Name: dir, Problem: err.Error()})
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		tell(e.Name())
		result := check1(ctx, filepath.Join(dir, e.Name()), limit)
		v.Checks = append(v.Checks, result)
		v.Healthy = v.Healthy && result.Problem == ""
	}
	return v
}

// outputLimit bounds what is kept of a check's output.
const outputLimit = 4 << 10

// check1 runs one check in a process group of its own, so that what it started
// ends with it.
func check1(ctx context.Context, program string, limit time.Duration) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	start := time.Now()
	err := cmd.Run()
	r := CheckResult{Name: filepath.Base(program), Seconds: time.Since(start).Seconds()}
	switch {
	case ctx.Err() != nil:
		r.Problem = fmt.Sprintf("no answer after %v", limit)
	case err != nil:
		r.Problem = strings.TrimSpace(fmt.Sprintf("%v %s", err, said.Bytes()[:min(said.Len(), outputLimit)]))
	}
	return r
}

func (v Verdict) write(root string) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	name := filepath.Join(root, layout.StatusDir, "health")
	return errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, append(data, '\n'), 0o644))
}

// unhealthy is what the checks found wrong on this boot, if they have judged it.
func unhealthy(root string) (problems string, judged bool, err error) {
	name := filepath.Join(root, layout.StatusDir, "health")
	text, err := readBounded(name, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	var v Verdict
	if err := json.Unmarshal(text, &v); err != nil {
		return "", false, fmt.Errorf("%s: %w", name, err)
	}
	if v.Healthy {
		return "", true, nil
	}
	return v.problems(), true, nil
}

// recordFailure writes FAIL.ENV, so that the side that comes back can tell why.
func (c *call) recordFailure(ctx context.Context, failure bootstate.Fail) error {
	keys, err := c.keys(c.env)
	if err != nil {
		return err
	}
	return locked(c.env, c.patience, func() error {
		state, err := Inspect(c.env, c.Settings, keys)
		if err != nil {
			return err
		}
		if err := state.refuseLoader(); err != nil {
			return err
		}
		failure.Seq = state.Loader.State.Seq
		content, err := failure.Render()
		if err != nil {
			return err
		}
		return c.write(ctx, Change{Writes: []StateWrite{{state.Loader.First, layout.Fail, content, true}},
			LoaderDisk: state.Firmware.Device.DiskUUID, LoaderWas: state.Loader.Copies})
	})
}
