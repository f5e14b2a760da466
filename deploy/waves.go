package deploy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"psyopsOS/step"
)

// Run brings the release to all hosts, Wave at a time and in their order. The
// nodes of a wave go on when one of them fails; the waves behind it do not
// begin.
func (o Options) Run(ctx context.Context, run *step.Runner, hosts []Host) []Result {
	results := make([]Result, 0, len(hosts))
	for wave := range slices.Chunk(hosts, max(o.Wave, 1)) {
		good := !slices.ContainsFunc(results, func(r Result) bool { return !r.Outcome.Good() })
		// A dry run is there to tell of all.
		if ctx.Err() != nil || !good && !o.DryRun {
			for _, h := range wave {
				results = append(results, Result{Host: h.Name, Outcome: NotStarted})
			}
			continue
		}
		results = append(results, o.wave(ctx, run, wave)...)
	}
	return results
}

func (o Options) wave(ctx context.Context, run *step.Runner, hosts []Host) []Result {
	results := make([]Result, len(hosts))
	var wait sync.WaitGroup
	for i, h := range hosts {
		wait.Go(func() { results[i] = o.one(ctx, run, h) })
	}
	wait.Wait()
	return results
}

// Err is an error that counts those that are not as wished, or nil.
func Err(results []Result) error {
	counts := map[Outcome]int{}
	var seen []Outcome
	for _, r := range results {
		if !r.Outcome.Good() {
			if counts[r.Outcome] == 0 {
				seen = append(seen, r.Outcome)
			}
			counts[r.Outcome]++
		}
	}
	if len(seen) == 0 {
		return nil
	}
	var parts []string
	for _, outcome := range seen {
		parts = append(parts, fmt.Sprintf("%d %s", counts[outcome], outcome))
	}
	return fmt.Errorf("of %d nodes: %s", len(results), strings.Join(parts, ", "))
}

// Table writes what happened: a line for each node, and below it how those were
// left that are not done.
func Table(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tOUTCOME\tBEFORE\tAFTER\tTIME")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.0f s\n", r.Host, r.Outcome, dash(r.Before), dash(r.After), r.Seconds)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Plan != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Host, r.Plan)
		}
		if r.Error == "" {
			continue
		}
		fmt.Fprintf(w, "%s: %s: %s\n", r.Host, r.Step, r.Error)
		if r.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", r.Hint)
		}
		fmt.Fprintf(w, "  left: %s\n", r.Left)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
