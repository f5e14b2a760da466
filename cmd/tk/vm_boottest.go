package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"psyopsOS/layout"
	"psyopsOS/step"
	"psyopsOS/vm"
)

func vmDisk(path string) vm.Disk {
	return vm.Disk{ID: "boot", Path: path, Snapshot: true, BootIndex: 1}
}

func vmTest() command {
	return command{
		name: "test", args: "[PROFILE] [--until login|health] [--timeout D] [--logs DIR] [flags of diskimg]",
		short:   "boot a disk image, wait for the login or for a healthy system, and say how it went by the exit status",
		example: "tk vm test --until health --timeout 5m",
	}.with("vm", runVMTest)
}

// A bootTest is what `tk vm test` waits for, and what came of it.
type bootTest struct {
	until       string
	timeout     time.Duration
	logs        string
	json, quiet bool
}

// A bootResult is told on stdout.
type bootResult struct {
	Disk         string          `json:"disk"`
	Accel        string          `json:"accel"`
	LoginSeconds float64         `json:"login_seconds,omitempty"`
	Health       json.RawMessage `json:"health,omitempty"`
	Error        string          `json:"error,omitempty"`
}

func runVMTest(ctx context.Context, e env, c command, args []string) error {
	t := bootTest{}
	f, _, err := parseWithProfile(e, c, `
Exit status 0: it came. 1: it did not, and the last lines of the console are
shown; --logs keeps the whole console. login is the prompt on the serial
console. health logs in there as root, which needs a root without a password
(the demo userland's), and waits for the verdict of the health checks.
`+profileHelp, args, func(f *vmFlags) {
		f.StringVar(&t.until, "until", "login", "what to wait for: `login or health`")
		f.DurationVar(&t.timeout, "timeout", 5*time.Minute, "how long, as 90s or 5m")
		f.StringVar(&t.logs, "logs", "", "keep the console in this `folder`")
		f.BoolVar(&t.json, "json", false, "print what came of it as JSON")
		f.BoolVar(&t.quiet, "quiet", false, "print nothing where all is well")
	})
	if err != nil {
		return err
	}
	if err := oneOf("until", t.until, "login", "health"); err != nil {
		return err
	}
	if err := f.takeDisk(); err != nil {
		return err
	}
	m, err := f.machine(ctx, e)
	if err != nil {
		return err
	}
	if m, err = withFirmware(m); err != nil {
		return err
	}
	result := bootResult{Disk: f.disk, Accel: m.Accel}
	return withRunDir(func(dir string) error {
		if t.logs != "" {
			dir = t.logs
		}
		err := t.run(ctx, m, dir, &result)
		if err != nil {
			result.Error = err.Error()
		}
		return errors.Join(err, t.report(e.stdout, result))
	})
}

func (t bootTest) report(w io.Writer, r bootResult) error {
	if t.json {
		return writeJSON(w, r)
	}
	if r.Error == "" && !t.quiet {
		fmt.Fprintf(w, "%s: login %.1f s after power-on (%s)\n", r.Disk, r.LoginSeconds, r.Accel)
		if r.Health != nil {
			fmt.Fprintf(w, "healthy\n")
		}
	}
	return nil
}

func (t bootTest) run(ctx context.Context, m vm.Machine, dir string, result *bootResult) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.timeout, fmt.Errorf("the time limit of %s is over", t.timeout))
	defer cancel()
	v, err := vm.Start(ctx, m, dir)
	if err != nil {
		return err
	}
	defer v.Close()
	if t.until == "login" {
		_, err = v.Console.Expect(ctx, `(?m)^\S* ?login: ?$`)
	} else {
		err = v.Console.Login(ctx, "root")
	}
	if err != nil {
		return err
	}
	result.LoginSeconds = time.Since(v.Started).Round(100 * time.Millisecond).Seconds()
	if t.until == "login" {
		return nil
	}
	return t.health(ctx, v, result)
}

// health waits for the verdict that the health service writes.
func (t bootTest) health(ctx context.Context, v *vm.VM, result *bootResult) error {
	file := filepath.Join(layout.StatusDir, "health")
	if _, _, err := v.Console.Run(ctx, "dmesg -n 1"); err != nil {
		return err
	}
	text, _, err := v.Console.Run(ctx, "while [ ! -s "+file+" ]; do sleep 1; done; cat "+file)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", file, err)
	}
	var verdict struct{ Healthy bool }
	if err := json.Unmarshal([]byte(text), &verdict); err != nil {
		return fmt.Errorf("%s: %w: %q", file, err, text)
	}
	result.Health = json.RawMessage(text)
	if !verdict.Healthy {
		return step.WithHint(fmt.Errorf("unhealthy: %s", text), "the programs in %s say what they look at", layout.HealthDir)
	}
	return nil
}
