package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
)

// A QMPEvent is something that QEMU told by itself.
type QMPEvent struct {
	Event string         `json:"event"`
	Data  map[string]any `json:"data"`
}

// A QMPError is QEMU's refusal of a command.
type QMPError struct {
	Command     string
	Class       string
	Description string
}

func (e *QMPError) Error() string { return "QEMU refuses " + e.Command + ": " + e.Description }

// monitor speaks QMP: one JSON object a line, in both directions. It is our own
// because the whole of it is this file.
type monitor struct {
	mu      sync.Mutex
	port    io.Writer
	lastID  int
	replies map[int]chan message
	events  []QMPEvent
	ended   error
	news    chan struct{}
}

type message struct {
	QMPEvent
	Greeting json.RawMessage `json:"QMP"`
	ID       int             `json:"id"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`

	lost error // instead of an answer
}

func newMonitor() *monitor {
	return &monitor{replies: map[int]chan message{}, news: make(chan struct{})}
}

// attach has commands go to the port of a QEMU that was just started.
func (q *monitor) attach(port io.Writer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.port = port
}

// read takes in replies and events until the port ends. What was not answered
// then never will be.
func (q *monitor) read(port io.Reader) {
	lines := bufio.NewReader(port)
	for {
		line, err := lines.ReadBytes('\n')
		var m message
		if err == nil {
			if err = json.Unmarshal(line, &m); err != nil {
				err = fmt.Errorf("QMP: %w in %q", err, line)
			}
		}
		if err != nil {
			q.lose(ending(err))
			return
		}
		q.take(m)
	}
}

// lose gives up on every reply.
func (q *monitor) lose(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, reply := range q.replies {
		delete(q.replies, id)
		reply <- message{lost: err}
	}
}

// end is the end of every wait: no other QEMU follows.
func (q *monitor) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = ErrEnded
	q.tell()
}

// tell wakes who waits. The caller holds the lock.
func (q *monitor) tell() {
	close(q.news)
	q.news = make(chan struct{})
}

func (q *monitor) take(m message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if reply, ok := q.replies[m.ID]; ok && m.ID != 0 {
		delete(q.replies, m.ID)
		reply <- m
	}
	if m.Event != "" {
		q.events = append(q.events, m.QMPEvent)
	}
	q.tell()
}

// execute sends a command and waits for its reply.
func (q *monitor) execute(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	reply, err := q.send(command, arguments)
	if err != nil {
		return nil, fmt.Errorf("tell QEMU %s: %w", command, err)
	}
	select {
	case m := <-reply:
		switch {
		case m.lost != nil:
			return nil, fmt.Errorf("waiting for QEMU's answer to %s: %w", command, m.lost)
		case m.Error != nil:
			return nil, &QMPError{command, m.Error.Class, m.Error.Desc}
		}
		return m.Return, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for QEMU's answer to %s: %w", command, context.Cause(ctx))
	}
}

func (q *monitor) send(command string, arguments any) (<-chan message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended != nil {
		return nil, q.ended
	}
	q.lastID++
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, q.lastID})
	if err != nil {
		return nil, err
	}
	reply := make(chan message, 1)
	q.replies[q.lastID] = reply
	_, err = q.port.Write(append(line, '\n'))
	return reply, err
}

// expect waits for an event after the first from ones.
func (q *monitor) expect(ctx context.Context, from int, want func(QMPEvent) bool) (QMPEvent, error) {
	for {
		q.mu.Lock()
		events, news, ended := q.events[from:], q.news, q.ended
		q.mu.Unlock()
		if i := slices.IndexFunc(events, want); i >= 0 {
			return events[i], nil
		}
		if ended != nil {
			return QMPEvent{}, ended
		}
		select {
		case <-news:
		case <-ctx.Done():
			return QMPEvent{}, context.Cause(ctx)
		}
	}
}

func (q *monitor) seen() []QMPEvent {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.events)
}
