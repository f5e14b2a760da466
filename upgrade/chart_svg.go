package upgrade

import (
	"fmt"
	"strings"
	"time"
)

// Sizes of the drawing, in pixels.
const (
	svgLeft  = 190 // the names
	svgWide  = 760 // the time
	svgRight = 180 // what a long bar's text needs behind it
	svgRow   = 20
	svgHead  = 44
)

// lanePaint are the colours of the lanes: steps of one colour come one after
// another.
func lanePaint(lane int) string {
	paint := [...]string{"#4878a8", "#c8823c", "#5a9a68", "#9868a8"}
	return paint[lane%len(paint)]
}

// SVG draws the chart as a picture of its own: a row for each step, and a
// colour for each of the lines that ran side by side.
func (c Chart) SVG() string {
	var b strings.Builder
	width, height := svgLeft+svgWide+svgRight, svgHead+svgRow*len(c.Bars)+10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="8" y="16" font-weight="bold">%s: %s</text>`+"\n", escape(c.Title), seconds(c.End-c.Begin))
	for t := c.Begin.Truncate(c.tick()); t <= c.End; t += c.tick() {
		if t < c.Begin {
			continue
		}
		x := svgLeft + c.scale(t, svgWide)
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#dddddd"/><text x="%d" y="%d" fill="#777777" text-anchor="middle">%s</text>`+"\n",
			x, svgHead-6, x, height-6, x, svgHead-10, seconds(t))
	}
	for i, bar := range c.Bars {
		c.drawBar(&b, svgHead+svgRow*i, bar)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c Chart) drawBar(b *strings.Builder, y int, bar Bar) {
	paint := lanePaint(bar.Lane)
	if bar.Failed {
		paint = "#c03030"
	}
	from, to := c.scale(bar.Start, svgWide), c.scale(bar.Start+bar.Elapsed, svgWide)
	long := max(1, to-from)
	words := strings.Join(strings.Fields(seconds(bar.Elapsed)+"  "+bar.bytes()+"  "+bar.rate()+"  "+bar.mark()), " ")
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, svgLeft-8, y+14, escape(bar.Step))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, svgLeft+from, y+3, long, svgRow-6, paint)
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#555555">%s</text>`+"\n", svgLeft+from+long+5, y+14, escape(words))
}

// tick is the distance of the time's lines: some ten of them.
func (c Chart) tick() time.Duration {
	for _, t := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 5 * time.Second, 10 * time.Second, time.Minute} {
		if (c.End-c.Begin)/t <= 12 {
			return t
		}
	}
	return (c.End - c.Begin) / 10
}

// escape makes text safe in XML.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
