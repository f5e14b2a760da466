package mounts

import "os"

// What the tests in mounts_test need of the inside.

// Acts replaces all ways in which a hand-over touches the machine.
type Acts struct {
	PID         func() int
	FSMagic     func(string) (int64, error)
	CheckInit   func(newRoot, init string) error
	MakePoint   func(newRoot, name string) error
	OpenConsole func(string) (*os.File, error)
	SwitchRoot  func(string) (*os.File, error)
	Empty       func(*os.File) error
	Execute     func(console *os.File, argv, env []string) error
}

func (a Acts) Handover(sys System, plan HandoverPlan) error {
	return acts{a.PID, a.FSMagic, a.CheckInit, a.MakePoint, a.OpenConsole, a.SwitchRoot, a.Empty, a.Execute}.handover(sys, plan)
}

const (
	RamfsMagic = ramfsMagic
	CopyBytes  = copyBytes
	FirstBytes = firstBytes
)

var (
	CheckInit     = checkInit
	MakePoint     = makePoint
	EmptyFolder   = emptyFolder
	EmptyOldRoot  = emptyOldRoot
	InterpreterOf = interpreterOf
	CompareNames  = compareNames
)

// PlanMoves gives the moves as "from to", the hidden mounts' paths, and the two
// flags.
func PlanMoves(points []MountPoint, newRoot string) (moves, hidden []string, shared, keepFiles bool, err error) {
	plan, err := planMoves(points, newRoot)
	for _, m := range plan.moves {
		moves = append(moves, m.mount.Path+" "+m.to)
	}
	for _, p := range plan.hidden {
		hidden = append(hidden, p.Path)
	}
	return moves, hidden, plan.shared, plan.keepFiles, err
}

// OpenLoop opens the node of a loop device for a mount.
func (l Linux) OpenLoop(number int, m LoopMount) (*os.File, error) {
	return l.openLoop(number, m.mode())
}

// DeviceNumber is the parser of sysfs's dev.
func DeviceNumber(text string) (uint64, error) { return deviceNumber(text) }
