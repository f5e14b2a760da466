package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// howManySlow tests are worth naming.
const howManySlow = 10

// finish prints the end of the report and says whether all is well. broken is
// the error by which the stream ended, if it did.
func (r *report) finish(runs int, broken error) bool {
	r.unfinished(func(name) bool { return true })
	if broken != nil {
		r.trouble("%v", broken)
	}
	if runs != 0 && r.exits != runs {
		r.trouble("the stream tells the end of %d test runs, and there are %d", r.exits, runs)
	}
	if r.passed+len(r.failed) == 0 {
		r.trouble("no test ran")
	}
	r.slowest()
	if len(r.failed)+len(r.troubles) > 0 {
		fmt.Fprintln(r.out, "\nfailed:")
	}
	for _, n := range r.failed {
		fmt.Fprintf(r.out, "  %s\n", n)
	}
	for _, t := range r.troubles {
		fmt.Fprintf(r.out, "  %s\n", t)
	}
	failed := len(r.failed) + len(r.troubles)
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, failed, r.skipped)
	return failed == 0
}

func (r *report) slowest() {
	slices.SortStableFunc(r.slow, func(a, b timed) int { return cmp.Compare(b.took, a.took) })
	if len(r.slow) > 0 {
		fmt.Fprintln(r.out, "\nslowest tests:")
	}
	for _, t := range r.slow[:min(howManySlow, len(r.slow))] {
		fmt.Fprintf(r.out, "  %8s  %s\n", brief(t.took), t.name)
	}
}

func brief(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func past(action string) string {
	return map[string]string{"pass": "passed", "fail": "FAILED", "skip": "skipped"}[action]
}
