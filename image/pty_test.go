package image

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A ptyProcess is a program with a pseudo terminal of its own.
type ptyProcess struct {
	t    *testing.T
	ours *os.File
	seen string // what was read and not yet expected
}

// startOnPty starts cmd with a terminal as its controlling one.
func startOnPty(t *testing.T, cmd *exec.Cmd) *ptyProcess {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	raw, err := ours.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number uint32
	if err := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	}); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &ptyProcess{t: t, ours: ours}
}

func (p *ptyProcess) send(keys string) {
	p.t.Helper()
	if _, err := p.ours.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads until text came.
func (p *ptyProcess) expect(text string) {
	p.t.Helper()
	_ = p.ours.SetReadDeadline(time.Now().Add(20 * time.Second))
	var b [4096]byte
	for {
		if _, after, found := strings.Cut(p.seen, text); found {
			p.seen = after
			return
		}
		n, err := p.ours.Read(b[:])
		p.seen += string(b[:n])
		if err != nil {
			p.t.Fatalf("waiting for %q: %v; seen %q", text, err, p.seen)
		}
	}
}
