package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"psyopsOS/step"
)

// Files in the folder of a run.
const (
	varsFile    = "vars.fd"
	consoleFile = "console.log"
	eventsFile  = "events.jsonl"
	qemuFile    = "qemu.log"
)

// qemuAnswersWithin is how long QEMU may take until its monitor greets: it
// maps the disks and the memory first, on a machine that may be busy.
const qemuAnswersWithin = time.Minute

// A VM is a running Machine.
type VM struct {
	Machine Machine // with defaults filled in
	Dir     string  // console.log, events.jsonl, qemu.log
	Console *Console
	Events  *Events
	Started time.Time

	monitor *monitor
	now     present
	kill    context.CancelFunc
	done    chan struct{} // closed when QEMU has ended and all it said is read
	exit    error         // QEMU's, once done
}

// Start runs m. The files of the run go to dir, which may not be shared by two
// running machines. QEMU dies with ctx, with Close, and with this process.
func Start(ctx context.Context, m Machine, dir string) (*VM, error) {
	args, err := new(present).args(m, dir, inherited)
	if err != nil {
		return nil, err
	}
	m = m.WithDefaults()
	if err := prepare(m, dir); err != nil {
		return nil, fmt.Errorf("prepare the virtual machine: %w", err)
	}
	v, err := start(ctx, m, dir, args)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", m.Binary, err)
	}
	greeting, cancel := context.WithTimeout(ctx, qemuAnswersWithin)
	defer cancel()
	if _, err := v.QMP(greeting, "qmp_capabilities", nil); err != nil {
		v.Close()
		return nil, fmt.Errorf("start %s: %w; it said: %s", m.Binary, errors.Join(v.exit, err), v.complaint())
	}
	return v, nil
}

// prepare makes the files that the run has for itself.
func prepare(m Machine, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if m.Firmware.Code != "" {
		vars, err := os.ReadFile(m.Firmware.Vars)
		if err != nil {
			return fmt.Errorf("copy the firmware's variables: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, varsFile), vars, 0o600); err != nil {
			return err
		}
	}
	for _, d := range m.Disks {
		if d.Snapshot {
			if err := writeOverlay(d, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func start(ctx context.Context, m Machine, dir string, args []string) (*VM, error) {
	f, err := openRun(dir)
	if err != nil {
		return nil, err
	}
	console, err := newConsole(f.ours[0], f.console, failsOf(m))
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	ctx, kill := context.WithCancel(ctx)
	v := &VM{Machine: m, Dir: dir, Console: console, Events: newEvents(console),
		Started: time.Now(), monitor: newMonitor(), kill: kill, done: make(chan struct{})}
	started := make(chan error, 2)
	go v.run(ctx, args, f, started)
	if err := <-started; err != nil {
		return nil, missing(err)
	}
	return v, nil
}

// missing adds to the error of a program that is not there where to get it.
func missing(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return step.WithHint(err, "install the package qemu-system-x86 (Debian, Ubuntu, Fedora), qemu-system-x86_64 (Alpine) or qemu-base (Arch)")
	}
	return err
}

func failsOf(m Machine) []string {
	if m.Fails == nil {
		return FailurePatterns()
	}
	return m.Fails
}

// run owns QEMU and the readers of its ports from start to end. It keeps its
// thread, because Pdeathsig is about the death of the parent's thread.
func (v *VM) run(ctx context.Context, args []string, f *runFiles, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var readers sync.WaitGroup
	readers.Go(v.Console.read)
	readers.Go(func() { v.Events.read(f.ours[1], f.events) })
	v.exit = v.process(ctx, args, f, func() { started <- nil })
	for told := 0; v.exit == nil && ctx.Err() == nil; {
		events := v.QMPEvents()
		if !v.now.startsAnew(v.Machine, events[told:]) {
			break
		}
		told = len(events)
		v.exit = v.again(ctx, f)
	}
	v.monitor.end()
	f.closeTheirs()
	readers.Wait()    // the ports end when nobody has their other ends
	started <- v.exit // nobody asks again, where it has begun
	v.exit = errors.Join(v.exit, f.close())
	v.kill()
	close(v.done)
}

// process is one run of QEMU. It comes back when QEMU has ended and all that it
// told on its monitor is read. begun is called once it runs.
func (v *VM) process(ctx context.Context, args []string, f *runFiles, begun func()) error {
	ours, theirs, err := socketPair("qmp")
	if err != nil {
		return err
	}
	defer ours.Close()
	cmd := exec.CommandContext(ctx, v.Machine.Binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = f.qemu, f.qemu, append(f.theirs[:], theirs)
	// Its own group, so that a Ctrl-C in the terminal is for us to handle.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return err
	}
	v.monitor.attach(ours)
	begun()
	v.monitor.read(ours)
	return cmd.Wait()
}

// complaint is what QEMU itself printed.
func (v *VM) complaint() string {
	text, err := os.ReadFile(filepath.Join(v.Dir, qemuFile))
	if err != nil {
		return err.Error()
	}
	return or(strings.TrimSpace(string(text)), "nothing")
}

// Wait waits until QEMU has ended and says why, in QEMU's words:
// guest-shutdown, guest-reset, guest-panic, host-qmp-quit, host-signal and the
// like.
func (v *VM) Wait(ctx context.Context) (reason string, err error) {
	select {
	case <-v.done:
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for the virtual machine to end: %w%s", context.Cause(ctx), v.Console.tail())
	}
	for _, e := range v.QMPEvents() {
		if e.Event == "SHUTDOWN" {
			reason, _ = e.Data["reason"].(string)
		}
	}
	if v.exit != nil {
		return reason, fmt.Errorf("QEMU: %w; it said: %s", v.exit, v.complaint())
	}
	return reason, nil
}

// Close kills QEMU where it still runs, and returns when it is gone.
func (v *VM) Close() {
	v.kill()
	<-v.done
}
