package stage

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Reasons tells why a stage would run now, or did last.
type Reasons struct {
	Stage   string
	Changes []Change // empty where the stage would not run
	Last    []string // why it ran the last time
}

// String is for people: a line for each reason.
func (r Reasons) String() string {
	switch {
	case len(r.Changes) > 0:
		return r.Stage + " would run:\n  " + strings.Join(texts(r.Changes), "\n  ")
	case len(r.Last) > 0:
		return r.Stage + " is up to date; it ran last because:\n  " + strings.Join(r.Last, "\n  ")
	}
	return r.Stage + " is up to date"
}

// Why says what would make a stage run if it were built now. It runs nothing.
// Of a stage that it needs and that would itself run, it tells only that.
func (g *Graph) Why(ctx context.Context, name string) (Reasons, error) {
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return Reasons{}, err
	}
	x := openIndex(g.dir)
	stages, err := g.wanted([]string{name})
	if err != nil {
		return Reasons{}, err
	}
	stale := map[string][]Change{}
	for _, s := range stages {
		if stale[s.Name], err = g.whyOne(ctx, s, stale, x); err != nil {
			return Reasons{}, err
		}
	}
	last, _ := readRecord(g.Path(name))
	return Reasons{name, stale[name], last.Because}, x.save(g.dir)
}

func (g *Graph) whyOne(ctx context.Context, s Stage, stale map[string][]Change, x *index) ([]Change, error) {
	var list []Change
	for _, need := range s.needs() {
		if len(stale[need]) > 0 {
			list = append(list, Change{Input: need, Text: fmt.Sprintf("stage %s runs first: %s", need, summary(stale[need]))})
		}
	}
	inputs, err := g.inputs(ctx, s, x)
	if err != nil {
		return nil, err
	}
	own, err := changes(g.Path(s.Name), inputs)
	return append(list, own...), err
}
