package upgrade

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"psyopsOS/boot"
	"psyopsOS/step"
)

// A Chart is the course of a boot: which step began when, and how long it took.
type Chart struct {
	Title string        `json:"title"`
	Begin time.Duration `json:"-"`    // of the first step, since the kernel's start
	End   time.Duration `json:"-"`    // of the last event
	Bars  []Bar         `json:"bars"` // in the order in which they began
}

// A Bar is one run of one step. A step that was repeated has several.
type Bar struct {
	Step    string
	Start   time.Duration // since the kernel's start
	Elapsed time.Duration
	Bytes   int64
	Lane    int // bars that overlap lie in different lanes, from 0
	Failed  bool
	Open    bool // no end was told: the hand-over, or where a boot stopped
}

// NewChart draws nothing yet: it sorts a report's events into bars.
func NewChart(r boot.Report) Chart {
	c := Chart{Title: title(r)}
	begun := map[string]int{} // index in Bars of the step's run that has not ended
	for i, e := range r.Events {
		c.End = min(max(c.End, e.Time), longestBoot) // the kernel's clock never goes back
		if i == 0 {
			c.Begin = c.End
		}
		switch e.Kind {
		case step.Started:
			begun[e.Step] = len(c.Bars)
			c.Bars = append(c.Bars, Bar{Step: printable(e.Step), Start: c.End, Open: true})
		case step.Finished, step.Failed:
			at, ok := begun[e.Step]
			if !ok { // told by a report that was cut
				continue
			}
			delete(begun, e.Step)
			b := &c.Bars[at]
			b.Open, b.Failed, b.Bytes = false, e.Kind == step.Failed, e.Done
			b.Elapsed = c.End - b.Start
		}
	}
	c.finish()
	return c
}

// longestBoot bounds what a file may claim.
const longestBoot = 24 * time.Hour

// printable keeps what a file says from steering a terminal or breaking XML.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func title(r boot.Report) string {
	name := string(r.Side)
	if name == "" {
		name = "root="
	}
	if release, ok := r.Facts["release"].(string); ok {
		name += " " + release
	}
	return printable(name)
}

// finish gives open bars their length and every bar its lane: the first that
// is free at the bar's start.
func (c *Chart) finish() {
	var busy []time.Duration // until when, by lane
	for i := range c.Bars {
		b := &c.Bars[i]
		if b.Open {
			b.Elapsed = c.End - b.Start
		}
		for b.Lane < len(busy) && busy[b.Lane] > b.Start {
			b.Lane++
		}
		if b.Lane == len(busy) {
			busy = append(busy, 0)
		}
		busy[b.Lane] = b.Start + b.Elapsed
	}
}

// Lanes is how many steps ran side by side at most.
func (c Chart) Lanes() int {
	lanes := 0
	for _, b := range c.Bars {
		lanes = max(lanes, b.Lane+1)
	}
	return lanes
}

// rate is bytes in a second, as people read it; empty where none were told.
func (b Bar) rate() string {
	if b.Bytes == 0 || b.Elapsed <= 0 {
		return ""
	}
	return step.Bytes(int64(float64(b.Bytes)/b.Elapsed.Seconds())) + "/s"
}

func (b Bar) bytes() string {
	if b.Bytes == 0 {
		return ""
	}
	return step.Bytes(b.Bytes)
}

// mark says what the reader must know of a bar besides its length.
func (b Bar) mark() string {
	switch {
	case b.Failed:
		return "FAILED"
	case b.Open:
		return "..."
	}
	return ""
}

// leastBars is the narrowest column in which bars say anything.
const leastBars = 10

// Table draws the chart for a terminal of so many columns; a narrow one gets
// the numbers alone.
func (c Chart) Table(columns int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, from %s to %s after the kernel's start\n", c.Title, seconds(c.End-c.Begin), seconds(c.Begin), seconds(c.End))
	row := func(name, start, elapsed, bytes, rate, bar string) {
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%-24s %8s %8s %10s %12s  %s", name, start, elapsed, bytes, rate, bar), " "))
	}
	row("step", "start", "elapsed", "bytes", "rate", "")
	space := min(columns, 400) - 24 - 1 - 8 - 1 - 8 - 1 - 10 - 1 - 12 - 2
	for _, bar := range c.Bars {
		drawn := bar.mark()
		if space >= leastBars {
			drawn = strings.TrimRight(c.text(bar, space)+" "+drawn, " ")
		}
		row(bar.Step, seconds(bar.Start), seconds(bar.Elapsed), bar.bytes(), bar.rate(), drawn)
	}
	return b.String()
}

// text is a bar in so many columns: at least one character, in its place.
func (c Chart) text(b Bar, columns int) string {
	from := c.scale(b.Start, columns)
	to := c.scale(b.Start+b.Elapsed, columns)
	from = min(from, columns-1)
	return strings.Repeat(" ", from) + strings.Repeat("#", max(1, to-from))
}

// scale is where a moment lies in a width.
func (c Chart) scale(t time.Duration, width int) int {
	if c.End <= c.Begin {
		return 0
	}
	return int(int64(width) * int64(t-c.Begin) / int64(c.End-c.Begin))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
