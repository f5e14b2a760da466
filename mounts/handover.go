package mounts

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"psyopsOS/step"
)

// A HandoverPlan is what the new root's init gets.
type HandoverPlan struct {
	NewRoot string   // where it is mounted
	Init    string   // as seen in the new root
	Args    []string // after its name
	Env     []string // all of it
	// Console is opened on the new init's descriptors 0 to 2: a path;
	// /dev/console where it is empty, /dev/null where it cannot be opened.
	Console string
	// LastWords is what has to be done before anything that cannot be undone. It
	// runs beside the preparations; its error ends the hand-over. May be nil.
	LastWords func() error
	// OnLeft is asked about each mount that cannot come along, before anything
	// is done that cannot be undone: an error ends the hand-over, nil goes on
	// without that mount. Where OnLeft is nil each such mount ends it.
	OnLeft func(MountPoint, error) error
}

// Handover makes NewRoot the root, with every mount of the old one in it, frees
// the memory of the initramfs, and becomes Init. It returns only on failure.
//
// It can destroy a running machine, so it refuses anywhere but where it
// belongs: as PID 1, with an initramfs as root, another file system mounted as
// new root, and an init in that which can be executed. Until the root is
// switched, a failure moves back what was moved.
func Handover(sys System, plan HandoverPlan) error { return kernelActs().handover(sys, plan) }

// acts are the ways in which a hand-over touches the process and the machine.
type acts struct {
	pid         func() int
	fsMagic     func(path string) (int64, error)
	checkInit   func(newRoot, init string) error
	makePoint   func(newRoot, name string) error // a mount point for name below newRoot
	openConsole func(name string) (*os.File, error)
	switchRoot  func(newRoot string) (oldRoot *os.File, err error)
	empty       func(oldRoot *os.File) error
	execute     func(console *os.File, argv, env []string) error
}

// What statfs says of ramfs and tmpfs.
const (
	ramfsMagic = 0x858458f6
	tmpfsMagic = 0x01021994
)

func (a acts) handover(sys System, plan HandoverPlan) error {
	said := plan.sayLastWords()
	ready, err := a.prepare(sys, plan)
	if err = errors.Join(err, <-said); err != nil {
		_ = ready.console.Close() // says only that there is none
		return fmt.Errorf("hand over to %s in %s: %w", plan.Init, plan.NewRoot, err)
	}
	defer ready.console.Close()
	if ready.shared {
		if err := sys.MakePrivate("/"); err != nil {
			return fmt.Errorf("hand over: %w", err)
		}
	}
	moved, err := moveAll(sys, ready.coming, plan)
	if err != nil {
		return fmt.Errorf("hand over: %w", errors.Join(err, moveBack(sys, moved)))
	}
	oldRoot, err := a.switchRoot(plan.NewRoot)
	if err != nil {
		return fmt.Errorf("hand over: %w", errors.Join(err, moveBack(sys, moved)))
	}
	if !ready.keepFiles {
		// What cannot be deleted only costs memory.
		_ = a.empty(oldRoot)
	}
	_ = oldRoot.Close()
	err = a.execute(ready.console, append([]string{plan.Init}, plan.Args...), plan.Env)
	return fmt.Errorf("hand over: start %s: %w", plan.Init, err)
}

func (p HandoverPlan) sayLastWords() <-chan error {
	said := make(chan error, 1)
	if p.LastWords == nil {
		said <- nil
		return said
	}
	go func() { said <- step.Guard(p.LastWords) }()
	return said
}

// prepared is all that a hand-over needs before it changes anything that a
// failure would have to undo.
type prepared struct {
	rootMoves
	coming  []move // those that have a mount point
	console *os.File
}

func (a acts) prepare(sys System, plan HandoverPlan) (p prepared, err error) {
	if p.rootMoves, err = a.check(sys, plan); err != nil {
		return p, err
	}
	if p.coming, err = a.makePoints(p.rootMoves, plan); err != nil {
		return p, err
	}
	p.console, err = a.console(plan.Console)
	return p, err
}

// check holds every guard and touches nothing.
func (a acts) check(sys System, plan HandoverPlan) (rootMoves, error) {
	if pid := a.pid(); pid != 1 {
		return rootMoves{}, fmt.Errorf("refused: this is process %d and not PID 1", pid)
	}
	magic, err := a.fsMagic("/")
	if err != nil {
		return rootMoves{}, err
	}
	if magic != ramfsMagic && magic != tmpfsMagic {
		return rootMoves{}, fmt.Errorf("refused: the root is no initramfs but a file system of type %#x", magic)
	}
	points, err := sys.Mounts()
	if err != nil {
		return rootMoves{}, err
	}
	moves, err := planMoves(points, plan.NewRoot)
	if err != nil {
		return rootMoves{}, fmt.Errorf("refused: %w", err)
	}
	if err := a.checkInit(plan.NewRoot, plan.Init); err != nil {
		return rootMoves{}, fmt.Errorf("refused: %w", err)
	}
	return moves, nil
}

// makePoints makes the mount points, and gives the moves that have one.
func (a acts) makePoints(moves rootMoves, plan HandoverPlan) ([]move, error) {
	for _, p := range moves.hidden {
		if err := plan.left(p, errors.New("another mount lies over it")); err != nil {
			return nil, err
		}
	}
	var coming []move
	for _, m := range moves.moves {
		if err := a.makePoint(plan.NewRoot, m.mount.Path); err != nil {
			if err := plan.left(m.mount, err); err != nil {
				return nil, err
			}
			continue
		}
		coming = append(coming, m)
	}
	return coming, nil
}

func (p HandoverPlan) left(point MountPoint, why error) error {
	why = fmt.Errorf("the mount at %s cannot come along: %w", point.Path, why)
	if p.OnLeft == nil {
		return why
	}
	return p.OnLeft(point, why)
}

func moveAll(sys System, moves []move, plan HandoverPlan) (moved []move, err error) {
	for _, m := range moves {
		if err := sys.MoveMount(m.mount.Path, m.to); err != nil {
			if err := plan.left(m.mount, err); err != nil {
				return moved, err
			}
			continue
		}
		moved = append(moved, m)
	}
	return moved, nil
}

func moveBack(sys System, moved []move) error {
	var errs []error
	for _, m := range slices.Backward(moved) {
		errs = append(errs, sys.MoveMount(m.to, m.mount.Path))
	}
	return errors.Join(errs...)
}

// console opens what the new init talks to, while /dev is still in its place.
func (a acts) console(name string) (*os.File, error) {
	if name == "" {
		name = "/dev/console"
	}
	console, err := a.openConsole(name)
	if err == nil {
		return console, nil
	}
	null, nullErr := a.openConsole("/dev/null")
	if nullErr != nil {
		return nil, fmt.Errorf("open a console: %w", errors.Join(err, nullErr))
	}
	return null, nil
}
