package stage

import (
	"fmt"
	"os"
	"path/filepath"

	"psyopsOS/step"
)

// log is the file that tells what a stage did when it last ran.
func (g *Graph) log(stage string) string { return filepath.Join(g.dir, ".log", stage+".log") }

// logged is runner whose steps, which are stages, also have a log file each:
// why it ran, what it noted, and the whole words of its failure. A file that
// cannot be written is told by the stage, which writes to it too.
func (g *Graph) logged(runner *step.Runner) *step.Runner {
	return &step.Runner{Now: runner.Now, OnFailure: runner.OnFailure, Sink: step.Tee(runner.Sink, func(e step.Event) {
		how := os.O_WRONLY | os.O_APPEND
		switch e.Kind {
		case step.Progress:
			return
		case step.Started:
			how = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		}
		if f, err := os.OpenFile(g.log(e.Step), how, 0o644); err == nil {
			fmt.Fprintf(f, "[%8.3f] %s\n", e.Time.Seconds(), e)
			f.Close()
		}
	})}
}
