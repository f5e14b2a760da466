package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// stream joins recorded streams and lines of their own.
func stream(t *testing.T, parts ...string) string {
	t.Helper()
	var b strings.Builder
	for _, p := range parts {
		if name, ok := strings.CutPrefix(p, "@"); ok {
			data, err := os.ReadFile("testdata/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			p = string(data)
		}
		b.WriteString(p)
	}
	return b.String()
}

// reported is the report on a stream, and its last line.
func reported(t *testing.T, runs int, in string) (all, last string, ok bool) {
	t.Helper()
	var out strings.Builder
	r := newReport(&out)
	ok = r.finish(runs, r.read(strings.NewReader(in)))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	return out.String(), lines[len(lines)-1], ok
}

func TestReports(t *testing.T) {
	const start = `{"Action":"start","Package":"p"}` + "\n" + `{"Action":"run","Package":"p","Test":"TestX"}` + "\n"
	for _, c := range []struct {
		name string
		runs int
		in   []string
		last string
		ok   bool
		says []string
	}{
		{"all is well", 0, []string{"@good"}, "4 passed, 0 failed, 1 skipped", true, []string{"ok   example/good  4 passed", "slowest tests:\n", "TestFine\n"}},
		{"several runs are one report", 2, []string{"@good", "exit 0\n", "@good", "exit 0\n"}, "8 passed, 0 failed, 2 skipped", true, nil},
		{"a failure is shown in full", 0, []string{"@bad", "@good"}, "6 passed, 2 failed, 1 skipped", false,
			[]string{"got 1, want 2", "FAIL example/bad  2 failed, 2 passed", "failed:\n  example/bad TestWrong/one_in_three\n  example/bad TestWrong\n"}},
		{"a failure before all is well", 0, []string{"@good", "@bad"}, "6 passed, 2 failed, 1 skipped", false, nil},
		{"a panic", 0, []string{"@panics"}, "0 passed, 1 failed, 0 skipped", false, []string{"assignment to entry in nil map", "panics/a_test.go:3"}},
		{"what does not compile", 0, []string{"@nobuild"}, "0 passed, 1 failed, 0 skipped", false, []string{"undefined: undefined", "build of example/nobuild"}},
		{"what does not compile beside what passes", 0, []string{"@good", "@nobuild"}, "4 passed, 1 failed, 1 skipped", false, nil},
		{"a package that is not there", 0, []string{"@missing"}, "0 passed, 1 failed, 0 skipped", false, []string{"directory not found"}},
		{"a TestMain that fails after tests that pass", 0, []string{"@exits"}, "1 passed, 1 failed, 0 skipped", false, []string{"failed:\n  example/exits\n"}},
		{"a test over its time", 0, []string{"@slow"}, "0 passed, 1 failed, 0 skipped", false, []string{"test timed out after 2s", "example/slow TestSleeps"}},
		{"no test files", 0, []string{"@none"}, "0 passed, 1 failed, 0 skipped", false, []string{"no test ran"}},
		{"no test files beside what passes", 0, []string{"@none", "@good"}, "4 passed, 0 failed, 1 skipped", true, nil},
		{"an empty stream", 0, nil, "0 passed, 1 failed, 0 skipped", false, []string{"no test ran"}},
		{"a stream that stops in a test", 0, []string{"@good", start}, "4 passed, 2 failed, 1 skipped", false, []string{"p TestX began and never ended"}},
		{"a stream that stops between tests", 0, []string{"@good", start, `{"Action":"pass","Package":"p","Test":"TestX"}` + "\n"}, "5 passed, 1 failed, 1 skipped", false, []string{"p began and never ended"}},
		{"a stream that stops in a line", 0, []string{"@good", `{"Action":"ou`}, "4 passed, 1 failed, 1 skipped", false, []string{"no event"}},
		{"a package that fails while a test runs", 0, []string{start, `{"Action":"fail","Package":"p"}` + "\n"}, "0 passed, 1 failed, 0 skipped", false, []string{"p TestX began and never ended"}},
		{"a package of which a build failed that nobody told of", 0, []string{`{"Action":"start","Package":"p"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"q"}` + "\n"}, "0 passed, 1 failed, 0 skipped", false, []string{"failed:\n  p\n"}},
		{"a run that fails without a word", 0, []string{"@good", "exit 1\n"}, "4 passed, 1 failed, 1 skipped", false, []string{"exit status 1"}},
		{"a run that fails and says why", 0, []string{"@bad", "exit 1\n"}, "2 passed, 2 failed, 0 skipped", false, nil},
		{"a run that fails without a word after one that says why", 0, []string{"@bad", "exit 1\n", "exit 2\n"}, "2 passed, 3 failed, 0 skipped", false, []string{"exit status 2"}},
		{"a run that never ended", 2, []string{"@good", "exit 0\n", "@good"}, "8 passed, 1 failed, 2 skipped", false, []string{"the end of 1 test runs, and there are 2"}},
		{"words of a tool are shown", 0, []string{"go: downloading x\n", "@good"}, "4 passed, 0 failed, 1 skipped", true, []string{"go: downloading x\n"}},
		{"a slow test is told when it ends", 0, []string{start, `{"Action":"pass","Package":"p","Test":"TestX","Elapsed":75}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":76}` + "\n"},
			"1 passed, 0 failed, 0 skipped", true, []string{"passed  p TestX in 1m15s\n", "ok   p  1 passed in 1m16s\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, last, ok := reported(t, c.runs, stream(t, c.in...))
			if last != c.last || ok != c.ok {
				t.Errorf("got %q, %v, want %q, %v, in\n%s", last, ok, c.last, c.ok, all)
			}
			for _, s := range c.says {
				if !strings.Contains(all, s) {
					t.Errorf("it does not say %q:\n%s", s, all)
				}
			}
		})
	}
}

func TestTheTenSlowestTestsAreNamed(t *testing.T) {
	var in strings.Builder
	for i := range 15 {
		in.WriteString(`{"Action":"pass","Package":"p","Test":"Test` + string(rune('A'+i)) + `","Elapsed":0.` + string(rune('0'+i%10)) + "}\n")
	}
	all, _, _ := reported(t, 0, in.String())
	_, slow, _ := strings.Cut(all, "slowest tests:\n")
	slow, _, _ = strings.Cut(slow, "\n\n")
	if lines := strings.Split(slow, "\n"); len(lines) != 10 || lines[0] != "    0.90 s  p TestJ" {
		t.Errorf("got\n%s\nwant ten lines, TestJ's first", slow)
	}
}

func TestAReadErrorIsAFailure(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	if r.finish(0, r.read(iotest.ErrReader(errors.New("broken pipe")))) || !strings.Contains(out.String(), "broken pipe") {
		t.Errorf("got\n%s", out.String())
	}
}

// Whatever is in a stream: without the line that tells its run's end it is no
// success, and the last line is the counts.
func FuzzACutStreamIsNoSuccess(f *testing.F) {
	for _, name := range []string{"bad", "panics", "exits", "slow", "good"} {
		data, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		for cut := 0; cut < len(data); cut += 97 {
			f.Add(string(data), cut)
		}
	}
	f.Fuzz(func(t *testing.T, in string, cut int) {
		cut = min(max(cut, 0), len(in))
		_, last, ok := reported(t, 1, in[:cut])
		if strings.HasPrefix(in[:cut], "exit ") || strings.Contains(in[:cut], "\nexit ") {
			return // it may be told
		}
		if ok || !strings.Contains(last, " passed, ") {
			t.Errorf("a stream without its run's end is a success: %q", last)
		}
	})
}
