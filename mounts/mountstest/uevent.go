package mountstest

import (
	"context"
	"errors"

	"psyopsOS/mounts"
)

// A listener holds the bursts that are still to be heard: one for each Send.
type listener struct {
	fake   *Fake
	events []mounts.Uevent
	lost   bool
	wake   chan struct{} // has room for one word
	closed bool
}

// Uevents implements mounts.System.
func (f *Fake) Uevents() (mounts.Listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("Uevents"); err != nil {
		return nil, err
	}
	l := &listener{fake: f, wake: make(chan struct{}, 1)}
	f.listeners = append(f.listeners, l)
	return l, nil
}

// Send gives events to everyone who listens now, in one burst.
func (f *Fake) Send(events ...mounts.Uevent) {
	f.tell(func(l *listener) { l.events = append(l.events, events...) })
}

// Overflow makes every listener miss events.
func (f *Fake) Overflow() { f.tell(func(l *listener) { l.lost = true }) }

func (f *Fake) tell(what func(*listener)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.listeners {
		what(l)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Listeners is how many subscriptions are open.
func (f *Fake) Listeners() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, l := range f.listeners {
		if !l.closed {
			n++
		}
	}
	return n
}

// Added is the event of a block device that came.
func Added(name string) mounts.Uevent {
	return mounts.Uevent{Action: "add", Devpath: "/devices/virtual/block/" + name, Subsystem: "block",
		Devname: name, Vars: map[string]string{"SUBSYSTEM": "block", "DEVNAME": name}}
}

// Next implements mounts.Listener.
func (l *listener) Next(ctx context.Context) ([]mounts.Uevent, error) {
	for {
		events, err := l.take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-l.wake:
		}
	}
}

func (l *listener) take() ([]mounts.Uevent, error) {
	l.fake.mu.Lock()
	defer l.fake.mu.Unlock()
	if l.closed {
		return nil, errors.New("the listener is closed")
	}
	if err := l.fake.Fail["Next"]; err != nil {
		return nil, err
	}
	if l.lost {
		l.lost = false
		return nil, mounts.ErrOverflow
	}
	events := l.events
	l.events = nil
	return events, nil
}

// Close implements mounts.Listener.
func (l *listener) Close() error {
	l.fake.mu.Lock()
	defer l.fake.mu.Unlock()
	l.closed = true
	return l.fake.Fail["Close"]
}
