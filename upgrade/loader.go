package upgrade

import (
	"errors"
	"strings"

	"psyopsOS/bootstate"
)

// lost says why the first EFI system partition has to be made anew: a sector of
// one of its folders is destroyed, and with it the loader, or the state files.
// The machine then starts by the second partition. nil where the folders are
// there, and on disks without a second partition, where nothing would start.
func (l Loader) lost() error {
	if l.Second == "" || l.Legacy != nil || l.Picked == 0 {
		return nil
	}
	lost := l.Copies.Lost
	if l.On1.Err != nil {
		lost = append([]error{l.On1.Err}, lost...)
	}
	return errors.Join(lost...)
}

// statesLost says whether only the second copy of the state can be written, and
// no trial be counted.
func (l Loader) statesLost() bool { return l.lost() != nil && len(l.Copies.Lost) > 0 }

// damaged is the same for people.
func (l Loader) damaged() string {
	err := l.lost()
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// hintRebuild is how the folders come back.
const hintRebuild = "`neuralupgrade apply efisys` makes the folders on the EFI system partition anew"

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
