package mounts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of the socket's buffer, where a whole cold-plug has room, and of the
// largest message: the kernel's are 2 KiB and the path.
const (
	ueventBuffer  = 4 << 20
	ueventMessage = 16 << 10
)

// Uevents opens a netlink socket on the kernel's own group: events that udev
// or mdev send on are not heard.
func (l Linux) Uevents() (Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("open uevent socket: %w", err)
	}
	// Only root may go beyond the limit; with less room there are overflows,
	// which are told.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, ueventBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, ueventBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("subscribe to uevents: %w", err)
	}
	return &ueventSocket{os.NewFile(uintptr(fd), "uevents"), make([]byte, ueventMessage)}, nil
}

type ueventSocket struct {
	file   *os.File
	buffer []byte
}

func (s *ueventSocket) Close() error { return s.file.Close() }

// Next sleeps in the runtime's poller, which a deadline in the past wakes.
func (s *ueventSocket) Next(ctx context.Context) ([]Uevent, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var events []Uevent
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		events, failed = s.drain(int(fd))
		return len(events) > 0 || failed != nil
	})
	switch {
	case failed != nil:
		return nil, failed
	case err == nil:
		return events, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("read uevents: %w", err)
}

// drain reads all messages that are there. What no kernel sent is dropped.
func (s *ueventSocket) drain(fd int) ([]Uevent, error) {
	var events []Uevent
	for {
		n, from, err := unix.Recvfrom(fd, s.buffer, 0)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return events, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ENOBUFS):
			return nil, ErrOverflow
		case err != nil:
			return nil, fmt.Errorf("read uevents: %w", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		if event, err := ParseUevent(s.buffer[:n]); err == nil {
			events = append(events, event)
		}
	}
}
