package upgrade

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/layout"
	"psyopsOS/step"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

// at makes an event at so many milliseconds.
func at(ms int, kind step.Kind, name string) step.Event {
	return step.Event{Time: time.Duration(ms) * time.Millisecond, Kind: kind, Step: name}
}

// aBoot has steps side by side, a copy with bytes, a failure that was repeated,
// names that XML must not take for its own, and no end of the last step.
func aBoot() boot.Report {
	copied := at(1900, step.Finished, "copy squashfs")
	copied.Done, copied.Elapsed = 120<<20, 900*time.Millisecond
	return boot.Report{Version: 1, Side: layout.SideA, Facts: map[string]any{"release": "20261121-101500"}, Events: []step.Event{
		at(500, step.Started, "find psyopsOS-A"),
		at(640, step.Failed, "find psyopsOS-A"),
		at(700, step.Started, "find psyopsOS-A"),
		at(702, step.Note, "find psyopsOS-A"),
		at(1000, step.Finished, "find psyopsOS-A"),
		at(1000, step.Started, "copy squashfs"),
		at(1001, step.Started, "mount <modloop> & more"),
		at(1050, step.Finished, "mount <modloop> & more"),
		at(1060, step.Started, "load drivers"),
		at(1400, step.Finished, "load drivers"),
		copied,
		at(1905, step.Started, "hand over"),
		at(2000, step.Note, "hand over"),
	}}
}

func TestStepsSideBySideLieInLanes(t *testing.T) {
	c := NewChart(aBoot())
	type bar struct {
		name           string
		start, elapsed int
		lane           int
		failed, open   bool
	}
	var got []bar
	for _, b := range c.Bars {
		got = append(got, bar{b.Step, int(b.Start.Milliseconds()), int(b.Elapsed.Milliseconds()), b.Lane, b.Failed, b.Open})
	}
	want := []bar{
		{"find psyopsOS-A", 500, 140, 0, true, false},
		{"find psyopsOS-A", 700, 300, 0, false, false},
		{"copy squashfs", 1000, 900, 0, false, false},
		{"mount <modloop> & more", 1001, 49, 1, false, false},
		{"load drivers", 1060, 340, 1, false, false},
		{"hand over", 1905, 95, 0, false, true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if c.Begin != 500*time.Millisecond || c.End != 2*time.Second || c.Lanes() != 2 || c.Title != "psyopsOS-A 20261121-101500" {
		t.Errorf("got %v to %v, %d lanes, %q", c.Begin, c.End, c.Lanes(), c.Title)
	}
}

func TestChartsLookAsTheyDid(t *testing.T) {
	c := NewChart(aBoot())
	for name, got := range map[string]string{"chart.txt": c.Table(110), "chart-narrow.txt": c.Table(60), "chart.svg": c.SVG()} {
		file := filepath.Join("testdata", name)
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s\n(-update writes it anew)", name, got, want)
		}
	}
}

// Whatever a report holds, the chart of it is bars within its time, and its
// picture is XML.
func FuzzChart(f *testing.F) {
	seed, err := json.Marshal(aBoot())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(seed), 100)
	f.Add(`{"events":[]}`, 0)
	f.Add(`{"events":[{"time":2,"step":"a","kind":"started"},{"time":1,"step":"a","kind":"finished"}]}`, 80)
	f.Fuzz(func(t *testing.T, text string, columns int) {
		var report boot.Report
		if json.Unmarshal([]byte(text), &report) != nil || columns > 1000 {
			return
		}
		c := NewChart(report)
		for _, b := range c.Bars {
			if b.Elapsed < 0 || b.Start < c.Begin || b.Start+b.Elapsed > c.End {
				t.Errorf("%v is outside %v to %v", b, c.Begin, c.End)
			}
		}
		if lines := strings.Count(c.Table(columns), "\n"); lines < len(c.Bars)+2 {
			t.Errorf("%d lines for %d bars", lines, len(c.Bars))
		}
		for d := xml.NewDecoder(strings.NewReader(c.SVG())); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestBootChartReadsThisBootOrAFile(t *testing.T) {
	root := t.TempDir()
	if err := aBoot().Write(root); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, layout.BootJSON)
	chart := NewChart(aBoot())
	for _, test := range []struct {
		root   string
		args   []string
		status int
		out    string
		err    string
	}{
		{root, []string{"boot-chart"}, 0, chart.Table(80), ""},
		{root, []string{"boot-chart", "--svg"}, 0, chart.SVG(), ""},
		{t.TempDir(), []string{"boot-chart", file, "--svg"}, 0, chart.SVG(), ""},
		{t.TempDir(), []string{"boot-chart"}, 1, "", "was not booted by psyopsOS's init"},
		{root, []string{"boot-chart", root + "/none"}, 1, "", "none: no such file"},
		{root, []string{"boot-chart", "a", "b"}, 2, "", "one boot at a time"},
	} {
		var out, errs bytes.Buffer
		env := Env{Stdout: &out, Stderr: &errs, Root: test.root, Getenv: func(name string) string { return map[string]string{"COLUMNS": "80"}[name] }}
		if got := Main(t.Context(), env, test.args); got != test.status || out.String() != test.out || !strings.Contains(errs.String(), test.err) {
			t.Errorf("%v: got %d, %q and\n%s", test.args, got, errs.String(), out.String())
		}
	}
}

func TestBootChartAsJSONHasSeconds(t *testing.T) {
	root := t.TempDir()
	if err := aBoot().Write(root); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := Main(t.Context(), Env{Stdout: &out, Stderr: io.Discard, Root: root}, []string{"boot-chart", "--json"}); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	var got struct {
		Bars []struct {
			Step           string
			Start, Elapsed float64
			Lane           int
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Bars) != 6 || got.Bars[3].Step != "mount <modloop> & more" || got.Bars[3].Start != 1.001 || got.Bars[3].Elapsed != 0.049 || got.Bars[3].Lane != 1 {
		t.Errorf("got %+v", got)
	}
}
