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

	"golang.org/x/sys/unix"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// checkLimit is how long one program of layout.HealthDir may take. A hanging
// check is a failed one.
const checkLimit = 60 * time.Second

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
	report, _, err := readReport(c.env.Root)
	if err != nil {
		return exitError, err
	}
	c.patience = healthPatience
	verdict := judge(ctx, filepath.Join(c.env.Root, layout.HealthDir), checkLimit, c.env.Now)
	if err := verdict.write(c.env.Root); err != nil {
		return exitError, err
	}
	if report.Side == "" {
		return exitDone, c.say("root= of the command line: there is no side to commit")
	}
	if verdict.Healthy {
		return commit(ctx, c)
	}
	err = step.WithHint(fmt.Errorf("this boot is not healthy: %s", verdict.problems()),
		"the checks are the programs in %s", layout.HealthDir)
	if !bootstate.Why(report.Why).IsTrial() {
		return exitError, err
	}
	version, _ := report.Facts["release"].(string)
	failure := bootstate.Fail{Side: report.Side, Version: version, Stage: "health", Reason: verdict.problems()}
	return exitError, errors.Join(err, c.recordFailure(ctx, failure), c.env.Restart())
}

// judge runs the programs of dir, by name. No folder is no check.
func judge(ctx context.Context, dir string, limit time.Duration, now func() time.Time) Verdict {
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

// unhealthy is what the checks found wrong on this boot, as far as they have
// judged it.
func unhealthy(root string) (string, error) {
	name := filepath.Join(root, layout.StatusDir, "health")
	text, err := readBounded(name, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var v Verdict
	if err := json.Unmarshal(text, &v); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if v.Healthy {
		return "", nil
	}
	return v.problems(), nil
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

// restart ends a failed trial at once: a service that hangs must not keep the
// old release from coming back. Nothing but the medium needs to be written.
func restart() error {
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}
