package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// writePatience bounds a write to a line that a stray Ctrl-S has stopped.
const writePatience = time.Second

// OpenTerminal opens the console called name, and drops what was typed there
// before: it is no answer to what is shown from now on.
func OpenTerminal(name string) (Terminal, error) {
	// Without O_NONBLOCK opening waits for a modem's carrier, and neither
	// a deadline nor an end of the waiting is possible.
	f, err := os.OpenFile("/dev/"+name, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	c := &console{name: name, f: f}
	if err := c.settings(unix.TCSETSF, keyByKey); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

type console struct {
	name string
	f    *os.File
}

func (c *console) Name() string { return c.name }

func (c *console) Close() error { return c.f.Close() }

func (c *console) Write(p []byte) (int, error) {
	_ = c.f.SetWriteDeadline(time.Now().Add(writePatience))
	return c.f.Write(p)
}

// Key takes any key, Ctrl-C too. A NUL is a break or noise on a serial line,
// and no key.
func (c *console) Key(ctx context.Context) error {
	_ = c.f.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = c.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var keys [64]byte
	for {
		n, err := c.f.Read(keys[:])
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		case len(bytes.Trim(keys[:n], "\x00")) > 0:
			return nil
		}
	}
}

// settings changes the terminal's settings by change; with unix.TCSETSF what
// was typed and not yet read is dropped.
func (c *console) settings(when uint, change func(*unix.Termios)) error {
	raw, err := c.f.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			set = err
			return
		}
		change(t)
		set = unix.IoctlSetTermios(int(fd), when, t)
	})
	return errors.Join(err, set)
}

// keyByKey gives each key at once, unseen; Ctrl-S is a key like others.
func keyByKey(t *unix.Termios) {
	t.Iflag &^= unix.IXON
	t.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// lineByLine is what a shell without line editor wants. Ctrl-\ and Ctrl-Z do
// nothing: the one would end the shell, and the other stop a program for which
// there is no `fg`.
func lineByLine(t *unix.Termios) {
	t.Iflag |= unix.ICRNL | unix.BRKINT | unix.IXON
	t.Oflag |= unix.OPOST | unix.ONLCR
	t.Lflag |= unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE | unix.ISIG | unix.IEXTEN
	t.Cc[unix.VINTR], t.Cc[unix.VEOF], t.Cc[unix.VERASE], t.Cc[unix.VKILL] = ctrl('C'), ctrl('D'), 0x7f, ctrl('U')
	t.Cc[unix.VQUIT], t.Cc[unix.VSUSP] = 0, 0 // _POSIX_VDISABLE
}

func ctrl(letter byte) byte { return letter & 0x1f }
