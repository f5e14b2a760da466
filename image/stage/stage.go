// Package stage runs the parts of a build that have to run.
//
// A stage has inputs and makes a folder of files. The hash of all its inputs
// (contents of files, outputs of other stages, tools, settings) is its key; a
// stage runs only when its key is not the one that its output was made with.
// The inputs are kept beside the output, so that Why can name the one that
// changed. Stages that do not wait for one another run at the same time.
//
// It reads what the inputs name and writes one folder: a subfolder for each
// stage, logs in .log, and in .index the hashes of files, by size, times and
// inode, so that nothing is read twice. A stage's folder appears complete or
// not at all.
package stage

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"psyopsOS/step"
)

// A Stage makes one folder of files.
type Stage struct {
	Name string
	// Recipe stands for what Run does. Whoever changes Run so that it makes
	// something else of the same inputs changes this too.
	Recipe string
	Inputs []Input
	// Run fills Work.Dir. It reads nothing that is not in Inputs.
	Run func(ctx context.Context, w *Work) error
}

// Work is what a running stage gets.
type Work struct {
	*step.Reporter
	Dir   string    // empty; becomes the stage's folder when Run has succeeded
	Log   io.Writer // the stage's log file
	graph *Graph
	rec   *record
}

// Made tells of a file outside of Dir that the stage has made or moved, such
// as a published release: where it is gone or changed, the stage runs again.
func (w *Work) Made(name string) error {
	name, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	info, err := os.Lstat(name)
	if err == nil {
		w.rec.Outside[name] = output{info.Size(), info.ModTime().UnixNano()}
	}
	return err
}

// Path is a file of another stage's output, which must be among the inputs.
func (w *Work) Path(stage string, elem ...string) string { return w.graph.Path(stage, elem...) }

// A Graph is a set of stages and the folder of their outputs.
type Graph struct {
	dir    string
	stages []Stage // each after those that it needs
	jobs   int
}

// New makes a graph. The stages may come in any order; jobs is how many run
// at the same time, 0 for as many as there are processors.
func New(dir string, jobs int, stages ...Stage) (*Graph, error) {
	if jobs == 0 {
		jobs = runtime.NumCPU()
	}
	sorted, err := sortStages(stages)
	if err != nil {
		return nil, err
	}
	return &Graph{dir, sorted, jobs}, nil
}

// Path is where a stage's output, or a file of it, is.
func (g *Graph) Path(stage string, elem ...string) string {
	return filepath.Join(append([]string{g.dir, stage}, elem...)...)
}

// Names lists the stages, each after those that it needs.
func (g *Graph) Names() []string {
	names := make([]string, len(g.stages))
	for i, s := range g.stages {
		names[i] = s.Name
	}
	return names
}

func (g *Graph) find(name string) (Stage, error) {
	i := slices.IndexFunc(g.stages, func(s Stage) bool { return s.Name == name })
	if i < 0 {
		return Stage{}, fmt.Errorf("there is no stage %q; there are %v", name, g.Names())
	}
	return g.stages[i], nil
}

// needs lists the stages whose output s reads.
func (s Stage) needs() []string {
	var names []string
	for _, in := range s.Inputs {
		if in.stage != "" && !slices.Contains(names, in.stage) {
			names = append(names, in.stage)
		}
	}
	return names
}

// wanted are the targets and all stages that they need; without a target it
// is all stages.
func (g *Graph) wanted(targets []string) ([]Stage, error) {
	if len(targets) == 0 {
		return g.stages, nil
	}
	want := map[string]bool{}
	for _, name := range targets {
		if _, err := g.find(name); err != nil {
			return nil, err
		}
		want[name] = true
	}
	var stages []Stage
	for _, s := range slices.Backward(g.stages) {
		if !want[s.Name] {
			continue
		}
		stages = append(stages, s)
		for _, need := range s.needs() {
			want[need] = true
		}
	}
	slices.Reverse(stages)
	return stages, nil
}

// sortStages orders stages by what they need, and otherwise leaves the order.
func sortStages(stages []Stage) ([]Stage, error) {
	byName := map[string]Stage{}
	for _, s := range stages {
		if s.Name == "" || s.Name[0] == '.' || s.Name != filepath.Base(s.Name) {
			return nil, fmt.Errorf("stage name %q is no plain file name", s.Name)
		}
		if _, twice := byName[s.Name]; twice {
			return nil, fmt.Errorf("two stages are called %q", s.Name)
		}
		byName[s.Name] = s
	}
	var sorted []Stage
	state := map[string]int{} // 1: being visited, 2: done
	var visit func(s Stage) error
	visit = func(s Stage) error {
		switch state[s.Name] {
		case 1:
			return fmt.Errorf("stage %s needs itself", s.Name)
		case 2:
			return nil
		}
		state[s.Name] = 1
		for _, need := range s.needs() {
			next, ok := byName[need]
			if !ok {
				return fmt.Errorf("stage %s needs the stage %q, which is not there", s.Name, need)
			}
			if err := visit(next); err != nil {
				return fmt.Errorf("%w, by %s", err, s.Name)
			}
		}
		state[s.Name] = 2
		sorted = append(sorted, s)
		return nil
	}
	for _, s := range stages {
		if err := visit(s); err != nil {
			return nil, err
		}
	}
	return sorted, nil
}
