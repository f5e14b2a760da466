package upgrade

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// An ESPRequest is what somebody wants to be done to the EFI system partition.
type ESPRequest struct {
	Release        espRelease
	Source         string // where the tar is, for people
	Firmware       string // of this machine
	Foreign        error  // why a commit could not give the release its signature
	Force          bool
	AllowDowngrade bool
	Now            time.Time
}

// An ESPPlan is what will be done to it.
type ESPPlan struct {
	ESPRequest
	Firmware Firmware
	Loader   Loader
	Current  bool // the release is there: nothing to do
	Second   bool // the second partition's loader is brought up to the running one first
	Swap     bool // the loader is replaced
	Once     bool // the firmware tries it first, and a commit replaces it
	Unasked  error
	Move     bool // from the loader of the first psyopsOS
	Rebuild  bool // the partition has lost its folders
	Booted   Side // of which the move makes the good side
	Menu     []StateWrite
	Tree     bootstate.LoaderTree // of the move
}

// NewESPPlan decides, and holds every refusal but that for lack of room.
func NewESPPlan(s State, r ESPRequest) (ESPPlan, error) {
	p := ESPPlan{ESPRequest: r, Firmware: s.Firmware, Loader: s.Loader, Booted: s.Side(s.Booted), Move: s.Loader.Legacy != nil}
	for _, refuse := range []func(State, ESPRequest) error{refuseESP, refuseESPRelease, refuseESPState} {
		if err := refuse(s, r); err != nil {
			return ESPPlan{}, err
		}
	}
	i := r.Release.Info
	if p.Move {
		return p.move(s)
	}
	if s.Loader.lost() != nil {
		return p.rebuild()
	}
	p.Swap = !s.Loader.On1.same(loaderFile(r.Release.Loader))
	p.Unasked = errors.Join(s.Loader.unusable(), r.Foreign)
	p.Once = p.Swap && s.Loader.Running != "" && p.Unasked == nil && r.Firmware == release.UEFI
	p.Current = !r.Force && (!p.Swap && s.Firmware.Unsigned == "" && s.Firmware.Info.Version == i.Version ||
		s.Loader.asksOnce() && s.Firmware.Waiting.Version == i.Version && s.Loader.Once.Spare.same(loaderFile(r.Release.Loader)))
	p.Second = s.Loader.secondIsBehind() && !p.Current
	menu, err := r.Release.menu(bootstate.ParseMenu(s.Loader.Copies.Menu)).Render()
	if err != nil {
		return ESPPlan{}, fmt.Errorf("the menu of release %s: %w", i.Version, err)
	}
	if string(menu) != string(s.Loader.Copies.Menu) {
		p.Menu = []StateWrite{{s.Loader.First, layout.Menu, menu, true}}
	}
	return p, nil
}

// move decides the first state of a disk that the first psyopsOS has made.
func (p ESPPlan) move(s State) (ESPPlan, error) {
	version := p.Booted.Info.Version
	state := bootstate.State{Seq: 1, Good: s.Booted, Floor: version, Time: p.Now.UTC().Truncate(time.Second)}
	if s.Booted == layout.SideA {
		state.A = version
	} else {
		state.B = version
	}
	menu := bootstate.Menu{Timeout: bootstate.DefaultTimeout, Append: s.Loader.Legacy.Append}
	return p.tree(map[string]renderer{
		layout.State1: state, layout.State2: state, layout.Tries: bootstate.Tries{}, layout.Fail: bootstate.Fail{}, layout.Menu: p.Release.menu(menu),
	})
}

// rebuild makes both folders anew, by what the second partition says.
func (p ESPPlan) rebuild() (ESPPlan, error) {
	p.Rebuild = true
	l := p.Loader
	p.Tree.Discard = true
	return p.tree(map[string]renderer{
		layout.State1: l.State, layout.Tries: bootstate.Tries{Run: l.Tries.Run}, layout.Fail: l.Fail, layout.Menu: p.Release.menu(bootstate.ParseMenu(l.Copies.Menu)),
	})
}

type renderer interface{ Render() ([]byte, error) }

// tree is the plan with the folders' contents.
func (p ESPPlan) tree(files map[string]renderer) (ESPPlan, error) {
	p.Swap, p.Tree.Loader, p.Tree.States = true, withRoom(p.Release.Loader), map[string][]byte{}
	for path, file := range files {
		content, err := file.Render()
		if err != nil {
			return ESPPlan{}, err
		}
		p.Tree.States[path] = content
	}
	return p, nil
}

// loaderRoom is what a later loader may be larger than this one.
const loaderRoom = 256 << 10

func withRoom(loader []byte) []byte {
	return append(append([]byte{}, loader...), make([]byte, loaderRoom)...)
}

// refuseESP refuses a partition that must not be written to.
func refuseESP(s State, _ ESPRequest) error {
	f := s.Firmware
	switch {
	case f.Mock:
		return step.WithHint(errors.New("the EFI system partition is a mock: the loader is replaced on the partition itself"), "leave --efisys-mock out")
	case s.BootedMissing:
		return step.WithHint(errors.New("the disk that was booted is not there: another disk is never written in its place"), "plug it in again")
	case f.Err != nil:
		return f.Err
	case len(f.Duplicates) > 0:
		return step.WithHint(fmt.Errorf("the label %s is on %s and on %s: which one is meant?", f.Label, f.Device.Path(), strings.Join(f.Duplicates, ", ")),
			"take the other disk out")
	case s.BootedDisk != "" && f.Device.Disk != s.BootedDisk:
		return fmt.Errorf("%s is on %s, but %s was booted", f.Label, f.Device.Disk, s.BootedDisk)
	case len(f.Users) > 0:
		return step.WithHint(fmt.Errorf("%s is %s", f.Label, strings.Join(f.Users, ", ")), "unmount it, or mount it read-only")
	case !s.Booted.IsSide():
		return step.WithHint(errors.New("it is not known which side is booted"), "on a machine that was not booted by psyopsOS name one with --booted-mock")
	}
	return nil
}

func refuseESPRelease(s State, r ESPRequest) error {
	i := r.Release.Info
	if i.Kind != release.ESP {
		return fmt.Errorf("a release of type %s does not go on the EFI system partition, which wants %s", i.Kind, release.ESP)
	}
	if err := platformIs(i, r.Firmware); err != nil {
		return err
	}
	if have := max(s.Firmware.Info.Version, s.Loader.On1.Version); i.Version < have && !r.AllowDowngrade {
		return step.WithHint(fmt.Errorf("release %s is older than %s, which is there", i.Version, have), "--allow-downgrade takes it all the same")
	}
	return nil
}

// refuseESPState refuses while anything is undecided: loader and side never
// change in the same boot.
func refuseESPState(s State, r ESPRequest) error {
	if s.Loader.Legacy != nil {
		return refuseMove(s, r)
	}
	if s.Loader.Picked == 0 {
		return fmt.Errorf("the new loader would find no state to go by: %w", s.Loader.Missing)
	}
	if err := refuseOnce(s, r); err != nil {
		return err
	}
	refusals := []func(State, Request) error{refuseOnTrial, refuseUncommitted, refuseUnhealthy}
	if s.Loader.lost() == nil {
		refusals = append(refusals, refuseUnequal)
	}
	for _, refuse := range refusals {
		if err := refuse(s, Request{}); err != nil {
			return err
		}
	}
	return nil
}

// refuseOnce refuses while a new loader runs and is not the default yet, and one
// that has failed: a nightly update must not hang a machine every night.
func refuseOnce(s State, r ESPRequest) error {
	switch l := s.Loader; {
	case l.runsOnce():
		return step.WithHint(fmt.Errorf("the loader of release %s runs, and is not the default yet", l.Running), "`neuralupgrade commit` makes it the default, a restart gives it up")
	case l.failedOnce() && r.Release.Info.Version == l.Once.Spare.Version && !r.Force:
		return step.WithHint(fmt.Errorf("the loader of release %s", l.onceWord()), "--force tries it again; a later release needs no force")
	}
	return nil
}

// refuseMove refuses where the new loader could not start the side that runs.
func refuseMove(s State, r ESPRequest) error {
	side := s.Side(s.Booted)
	label := s.Loader.Legacy.DefaultLabel
	switch {
	case s.Unhealthy != "":
		return refuseUnhealthy(s, Request{})
	case label != s.Booted && !r.Force:
		return step.WithHint(fmt.Errorf("%s is booted, but %s is the default of grub.cfg: which one is the good one?", s.Booted, label),
			"restart into %s, or make %s the good one with --force", label, s.Booted)
	case side.Info.Version == "":
		return fmt.Errorf("%s holds no whole release: %s", s.Booted, side.Incomplete)
	case s.BootedVersion != "" && side.Info.Version != s.BootedVersion:
		return fmt.Errorf("%s is booted with release %s, but the disk has %s there: is this another disk?", s.Booted, s.BootedVersion, side.Info.Version)
	case side.Unsummed && len(side.Users) > 0:
		return step.WithHint(fmt.Errorf("%s needs a %s for the new loader, but it is in use: %s", s.Booted, layout.BootSum, strings.Join(side.Users, ", ")), "unmount it")
	}
	return nil
}

// String is the plan for people.
func (p ESPPlan) String() string {
	var b strings.Builder
	f, i := p.Firmware, p.Release.Info
	if p.Current && p.Swap {
		fmt.Fprintf(&b, "%s: the loader of release %s: nothing to do\n", f.Label, p.Loader.onceWord())
		return b.String()
	}
	if p.Current {
		fmt.Fprintf(&b, "%s is version %s: nothing to do\n", f.Label, i.Version)
		return b.String()
	}
	if p.Second {
		fmt.Fprintf(&b, "bring the loader on %s from version %s to the running %s\n", p.Loader.Second, p.Loader.On2.Version, p.Loader.Running)
	}
	fmt.Fprintf(&b, "write %s (%s)\n", f.Label, f.Device.Path())
	if have := f.Info.Version; have != "" {
		fmt.Fprintf(&b, "    from version %s\n", have)
	}
	fmt.Fprintf(&b, "    to version %s, %d extra programs, from %s\n", i.Version, len(p.Release.Programs), p.Source)
	switch {
	case p.Move:
		fmt.Fprintf(&b, "move the disk from the first psyopsOS's loader to ours, which starts %s\n", p.Booted.Label)
	case p.Rebuild:
		fmt.Fprintf(&b, "make the folders of the loader and its state anew: %v\n", p.Loader.lost())
	case p.Once:
		fmt.Fprintf(&b, "let the firmware try the loader: the new one is written to %s, which it starts with the next restart, once; the commit of that boot puts it in the place of %s\n", layout.LoaderSpare, layout.Loader)
	case p.Swap:
		fmt.Fprintf(&b, "replace the loader: the new one is written to %s, which then takes the place of %s\n", layout.LoaderSpare, layout.Loader)
		if p.Unasked != nil {
			fmt.Fprintf(&b, "    the firmware cannot try it first: %v\n", p.Unasked)
		}
	default:
		b.WriteString("leave the loader, which is the same\n")
	}
	b.WriteString(p.second())
	return b.String()
}

// second says what a loader that does not come up would come to.
func (p ESPPlan) second() string {
	switch {
	case !p.Swap || p.Once:
		return ""
	case p.Loader.Second == "":
		return "this disk has no second loader: if the new one does not start, nothing else does\n"
	}
	return fmt.Sprintf("the second loader, on %s, follows when a boot through the new one has committed\n", p.Loader.Second)
}
