package boot

import (
	"context"

	"psyopsOS/mounts"
	"psyopsOS/step"
)

// Handover is the very last step: lastWords are said, the report among them,
// every mount is moved along, the initramfs's memory is freed, and the new init
// takes PID 1. It comes back only with an error.
func Handover(c Cmdline, m Machine, lastWords func() error) step.Step {
	return step.Step{Name: "hand over", Do: func(ctx context.Context, r *step.Reporter) error {
		r.Note("to %s", c.Init)
		return c.withHint(m.Handover(mounts.HandoverPlan{
			NewRoot: m.newPath(), Init: c.Init, Args: c.InitArgs, Env: environment(), Console: "/dev/console",
			LastWords: lastWords,
		}))
	}}
}

// environment is what the kernel gives an init that it starts itself, and a
// PATH. Words of the command line that the kernel would pass on as variables
// are not passed: an init that needs one can read /proc/cmdline.
func environment() []string {
	return []string{"HOME=/", "TERM=linux", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}
