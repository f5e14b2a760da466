package boot

import (
	"context"
	"strings"

	"psyopsOS/step"
)

// tellCmdline tells what was understood of the command line and what was not.
func (j *journey) tellCmdline(ctx context.Context, r *step.Reporter) error {
	r.Note("%s", j.c.Line)
	for _, problem := range j.c.Problems {
		r.Warn(problem)
	}
	if len(j.c.Ignored) > 0 {
		r.Note("words of Alpine's init that mean nothing here: %s", strings.Join(j.c.Ignored, " "))
	}
	return nil
}
