package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// A match spans at most this many bytes: text is searched as it comes,
	// and what was searched is looked at again this far back.
	longestMatch = 4096
	// Text is gathered for this long before it is searched again: under TCG
	// it comes in pieces of 16 bytes.
	gather = 20 * time.Millisecond
	// What a guest says after the words of a failure is worth having.
	lastWords  = time.Second
	tailLines  = 30
	sendWithin = 30 * time.Second
)

// A Console is the guest's serial console. Everything read is written to a log
// as it came and kept as text without carriage returns and escape sequences.
// Its methods may be called from several goroutines, but there is one place up
// to which the text has been read by Expect.
type Console struct {
	port  io.ReadWriter
	log   io.Writer
	fails *regexp.Regexp // nil: none
	runs  int            // commands run, for their markers

	mu       sync.Mutex
	text     []byte
	next     int // Expect goes on here
	failures []failure
	ended    error
	news     chan struct{} // closed when something changes
	cleaner  cleaner
}

type failure struct {
	at   int
	text string
}

// newConsole is a console whose read must be run by the caller.
func newConsole(port io.ReadWriter, log io.Writer, fails []string) (*Console, error) {
	c := &Console{port: port, log: log, news: make(chan struct{})}
	if len(fails) > 0 {
		re, err := regexp.Compile("(?:" + strings.Join(fails, ")|(?:") + ")")
		if err != nil {
			return nil, fmt.Errorf("failure patterns: %w", err)
		}
		c.fails = re
	}
	return c, nil
}

// read takes in what the guest says until the port ends.
func (c *Console) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.port.Read(buf)
		if _, lost := c.log.Write(buf[:n]); lost != nil && err == nil {
			err = fmt.Errorf("console log: %w", lost)
		}
		err = ending(err)
		c.add(buf[:n], err)
		if err != nil {
			return
		}
	}
}

func (c *Console) add(data []byte, ended error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := len(c.text)
	c.text = c.cleaner.clean(c.text, data)
	c.ended = ended
	if c.fails != nil {
		c.lookForFailures(lineStart(c.text, from))
	}
	close(c.news)
	c.news = make(chan struct{})
}

// lookForFailures notes each failure pattern from a line's start on. A line
// that is still growing is looked at again.
func (c *Console) lookForFailures(from int) {
	for len(c.failures) > 0 && c.failures[len(c.failures)-1].at >= from {
		c.failures = c.failures[:len(c.failures)-1]
	}
	for _, m := range c.fails.FindAllIndex(c.text[from:], -1) {
		c.failures = append(c.failures, failure{from + m[0], string(c.text[from+m[0] : from+m[1]])})
	}
}

func lineStart(text []byte, at int) int { return bytes.LastIndexByte(text[:at], '\n') + 1 }

// Expect waits until the guest has said something that matches the regular
// expression pattern after what the last Expect matched, and returns the match
// and its groups. A failure pattern that comes first ends it, as does the end
// of the guest. The error shows the last lines of the console.
func (c *Console) Expect(ctx context.Context, pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	for searched := 0; ; {
		found, upTo, news, err := c.search(re, searched)
		if found != nil {
			return found, nil
		}
		if err == nil {
			err = wait(ctx, news, gather)
		} else if errors.As(err, new(*Failure)) {
			// What is waited for may be in the failure's own words.
			_ = wait(ctx, nil, lastWords)
			if found, _, _, err = c.search(re, 0); found != nil {
				return found, nil
			}
		}
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx) // the end of ctx may be what ended the guest
		}
		if err != nil {
			return nil, fmt.Errorf("waiting for %q on the console: %w%s", pattern, err, c.tail())
		}
		searched = upTo
	}
}

// wait returns a moment after news, or with the cause of ctx's end. Where news
// is nil it only waits for the moment.
func wait(ctx context.Context, news <-chan struct{}, moment time.Duration) error {
	if news != nil {
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case <-time.After(moment):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// search looks for re once. It returns how far it has looked and what to wait
// for before the next look.
func (c *Console) search(re *regexp.Regexp, searched int) (found []string, upTo int, news chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := max(c.next, searched-longestMatch)
	m := re.FindSubmatchIndex(c.text[from:])
	if f := c.failure(); f != nil && (m == nil || f.at+len(f.text) <= from+m[0]) {
		return nil, 0, nil, &Failure{f.text}
	}
	if m == nil {
		return nil, len(c.text), c.news, c.ended
	}
	for i := 0; i < len(m); i += 2 {
		group := ""
		if m[i] >= 0 {
			group = string(c.text[from+m[i] : from+m[i+1]])
		}
		found = append(found, group)
	}
	c.next = from + m[1]
	return found, 0, nil, nil
}

// failure is the first one that no Expect has gone past.
func (c *Console) failure() *failure {
	for i := range c.failures {
		if c.failures[i].at >= c.next {
			return &c.failures[i]
		}
	}
	return nil
}

// A Failure is a failure pattern that was seen on the console.
type Failure struct{ Text string }

func (f *Failure) Error() string { return fmt.Sprintf("the guest said %q", f.Text) }

// failed is the failure that the console shows now, and what to wait for
// before asking again.
func (c *Console) failed() (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.failure(); f != nil {
		return c.news, &Failure{f.text}
	}
	return c.news, nil
}

// Text is everything that the guest has said so far.
func (c *Console) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// Tail is the last n lines of the console.
func (c *Console) Tail(n int) string {
	lines := strings.Split(strings.TrimRight(c.Text(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (c *Console) tail() string {
	if t := c.Tail(tailLines); strings.TrimSpace(t) != "" {
		return "; the console's last lines:\n  | " + strings.ReplaceAll(t, "\n", "\n  | ")
	}
	return "; nothing came from the console"
}

// Send types text. Enter is \r, as a terminal sends it. QEMU hands a byte to
// the guest when its port has room for it, so nothing is lost there; but a
// guest's tty keeps no more than 4095 bytes that nobody reads.
func (c *Console) Send(text string) error {
	if p, ok := c.port.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = p.SetWriteDeadline(time.Now().Add(sendWithin))
	}
	if _, err := io.WriteString(c.port, text); err != nil {
		return fmt.Errorf("type %q on the console: %w", text, err)
	}
	return nil
}
