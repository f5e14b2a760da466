package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// bootChart shows where the time of a boot went: this one's, or that of
// another machine's boot.json.
func bootChart(_ context.Context, c *call) (int, error) {
	if len(c.args) > 1 {
		return exitUsage, usagef("one boot at a time, not %q", c.args)
	}
	report, _, err := readReport(c.env.Root)
	if len(c.args) == 1 {
		report, _, err = readReportFile(c.args[0])
	}
	if err != nil {
		return exitError, err
	}
	chart, text := NewChart(report), ""
	switch {
	case c.JSON:
		data, err := json.MarshalIndent(chart, "", " ")
		if err != nil {
			return exitError, err
		}
		text = string(data) + "\n"
	case c.svg:
		text = chart.SVG()
	default:
		text = chart.Table(columns(c.env))
	}
	_, err = io.WriteString(c.env.Stdout, text)
	return exitOf(err), err
}

// unknownColumns is for what is no terminal: a file or a pipe.
const unknownColumns = 120

// columns is the terminal's width.
func columns(e Env) int {
	if n, err := strconv.Atoi(e.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := e.Stdout.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return unknownColumns
}

// MarshalJSON gives times in seconds, as boot.json does.
func (b Bar) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"step":%s,"start":%.6f,"elapsed":%.6f,"bytes":%d,"lane":%d,"failed":%t,"open":%t}`,
		quoted(b.Step), b.Start.Seconds(), b.Elapsed.Seconds(), b.Bytes, b.Lane, b.Failed, b.Open), nil
}

func quoted(s string) []byte {
	data, err := json.Marshal(s)
	if err != nil { // no string fails
		return []byte(`""`)
	}
	return data
}
