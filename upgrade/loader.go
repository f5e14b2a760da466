package upgrade

import "psyopsOS/bootstate"

// triesLeft is how often the trial will still be booted.
func (l Loader) triesLeft() int {
	if !l.onTrial() {
		return 0
	}
	return l.Tries.Left
}

func programPaths(menu []byte) (paths []string) {
	for _, p := range bootstate.ParseMenu(menu).Programs {
		paths = append(paths, p.Path)
	}
	return paths
}

// healthConfirms reports whether the health checks may commit the trial that
// runs. Where its counts are lost nobody knows, and a person has to.
func (l Loader) healthConfirms() bool {
	return l.Tries.For == l.State.Seq && l.Tries.Confirm == ""
}
