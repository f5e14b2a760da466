package shell

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Shell runs the program on a file descriptor of its own: ours does not
// block, which would confuse a program.
func (c *console) Shell(ctx context.Context, argv, env []string) error {
	if err := c.settings(unix.TCSETSF, lineByLine); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/"+c.name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/" + c.name, Err: err}
	}
	err = unix.SetNonblock(fd, false)
	f := os.NewFile(uintptr(fd), c.name)
	defer f.Close()
	if err != nil {
		return err
	}
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []*os.File{f, f, f},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0},
	})
	if err != nil {
		return err
	}
	pid := p.Pid
	if err := p.Release(); err != nil {
		return err
	}
	return waitForGroup(ctx, pid)
}

// waitForGroup waits for the process pid, the leader of its process group,
// then ends the rest of the group.
//
// PID 1 is the parent of every process whose own parent has ended. Waiting for
// the group reaps those that the shell has left, and takes no process from
// somebody else's Wait.
func waitForGroup(ctx context.Context, pid int) error {
	end := func() { _ = unix.Kill(-pid, unix.SIGKILL) }
	stop := context.AfterFunc(ctx, end)
	for {
		got, err := wait(-pid, 0)
		if err != nil {
			stop()
			return err
		}
		if got == pid {
			break
		}
	}
	stop()
	end()
	reapRest(pid)
	return context.Cause(ctx)
}

// reapRest reaps what was killed. It does not wait for ever: a process that
// hangs on a broken disk cannot be killed.
func reapRest(group int) {
	for range 20 {
		got, err := wait(-group, unix.WNOHANG)
		if err != nil {
			return // ECHILD: none is left
		}
		if got == 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// wait reaps one process of those that wait4's pid stands for.
func wait(pid, options int) (int, error) {
	for {
		got, err := unix.Wait4(pid, nil, options, nil)
		if !errors.Is(err, unix.EINTR) {
			return got, os.NewSyscallError("wait4", err)
		}
	}
}
