package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// An event is a line of `go test -json`: of a test, of a package (Test is
// empty) or of a build (ImportPath instead of Package).
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// A name is that of a test, or of a package where test is empty.
type name struct{ pkg, test string }

func (n name) String() string {
	if n.test == "" {
		return n.pkg
	}
	return n.pkg + " " + n.test
}

// A report is what is known so far. It prints what a person would want to see
// at once, and keeps the rest for finish.
type report struct {
	out io.Writer

	running      map[name]bool
	order        []name            // in which they began
	output       map[name][]string // of what has not passed yet
	builds       map[string][]string
	failedBuilds map[string]bool
	tests        map[string]int // that passed, by package
	failedIn     map[string]int // tests that failed, by package
	failed       []name
	slow         []timed
	passed       int
	skipped      int
	exits        int
	troubles     []string // what is wrong and belongs to no test

	sinceExit int // failures told since the last exit line
}

type timed struct {
	name
	took time.Duration
}

func newReport(out io.Writer) *report {
	return &report{out: out, running: map[name]bool{}, output: map[name][]string{}, builds: map[string][]string{}, failedBuilds: map[string]bool{},
		tests: map[string]int{}, failedIn: map[string]int{}}
}

// read takes in a stream to its end.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(line string) {
	var status int
	if n, _ := fmt.Sscanf(line, "exit %d", &status); n == 1 {
		r.exit(status)
		return
	}
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.Action == "" {
		// What is no event comes from a tool in trouble.
		fmt.Fprintln(r.out, line)
		if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "{") {
			r.trouble("the stream has a line that is no event: %.200s", line)
		}
		return
	}
	if e.ImportPath != "" {
		r.build(e)
		return
	}
	r.event(e)
}

// build keeps what compilers say until it is known whether they failed:
// warnings of a linker are not worth a line.
func (r *report) build(e event) {
	switch e.Action {
	case "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
	case "build-fail":
		fmt.Fprint(r.out, strings.Join(r.builds[e.ImportPath], ""))
		r.fail(name{pkg: "build of " + e.ImportPath})
		r.failedBuilds[e.ImportPath] = true
	}
}

func (r *report) event(e event) {
	n := name{e.Package, e.Test}
	took := time.Duration(e.Elapsed * float64(time.Second))
	switch e.Action {
	case "start", "run":
		r.running[n] = true
		r.order = append(r.order, n)
	case "output":
		r.output[n] = append(r.output[n], e.Output)
	case "pass", "fail", "skip":
		delete(r.running, n)
		if e.Test == "" {
			r.packageEnded(n, e, took)
		} else {
			r.testEnded(n, e.Action, took)
		}
		delete(r.output, n)
	}
}

// worthALine is how long a test may take before its end is told at once: VM
// tests run for an hour, and silence looks like a hang.
const worthALine = 5 * time.Second

func (r *report) testEnded(n name, action string, took time.Duration) {
	switch action {
	case "pass":
		r.passed++
		r.tests[n.pkg]++
	case "skip":
		r.skipped++
	case "fail":
		r.fail(n)
		r.failedIn[n.pkg]++
		fmt.Fprint(r.out, strings.Join(r.output[n], ""))
	}
	if strings.Contains(n.test, "/") {
		return
	}
	r.slow = append(r.slow, timed{n, took})
	if took >= worthALine {
		fmt.Fprintf(r.out, "     %s  %s in %s\n", past(action), n, brief(took))
	}
}

func (r *report) packageEnded(n name, e event, took time.Duration) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(r.out, "ok   %s  %d passed in %s\n", n, r.tests[n.pkg], brief(took))
	case "fail":
		r.unfinished(func(m name) bool { return m.pkg == n.pkg && m.test != "" })
		fmt.Fprint(r.out, ownWords(r.output[n]))
		told := r.failedIn[n.pkg] > 0 || r.failedBuilds[e.FailedBuild]
		if !told {
			r.fail(n)
		}
		fmt.Fprintf(r.out, "FAIL %s  %d failed, %d passed in %s\n", n, max(1, r.failedIn[n.pkg]), r.tests[n.pkg], brief(took))
	}
}

// ownWords is what a package said besides that it failed.
func ownWords(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		if !strings.HasPrefix(l, "FAIL") && l != "PASS\n" {
			b.WriteString(l)
		}
	}
	return b.String()
}

func (r *report) fail(n name) {
	r.sinceExit++
	r.failed = append(r.failed, n)
}

// unfinished counts those which began and never ended as failed. The package
// itself is not another failure where one of its tests is one.
func (r *report) unfinished(which func(name) bool) {
	for _, n := range r.order {
		if !r.running[n] || !which(n) {
			continue
		}
		delete(r.running, n)
		fmt.Fprintf(r.out, "%s--- %s began and never ended\n", strings.Join(r.output[n], ""), n)
		r.fail(n)
		r.failedIn[n.pkg]++
	}
}

func (r *report) exit(status int) {
	if status != 0 && r.sinceExit == 0 {
		r.trouble("a test run ended with exit status %d and named no failure", status)
	}
	r.exits++
	r.sinceExit = 0
}

func (r *report) trouble(format string, a ...any) {
	r.troubles = append(r.troubles, fmt.Sprintf(format, a...))
	r.sinceExit++
}
