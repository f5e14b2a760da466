//go:build !race

// The race detector would be kept busy for ten minutes by what is one goroutine.

package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// The protocol of POWERCUT.md as an exhaustive model: every state that a
// machine can come into when the power is cut at any write, any number of
// times, while releases are applied that are good, sick or crash, and while
// good ones rot or begin to crash. What is written next is asked of the code
// that neuralupgrade runs (NewPlan, NewCommit, NewRollback, NewDefault and
// their writes), what is booted of bootstate.Next, and what init does after a
// failure of boot.AnswerTo. The model itself only knows disks.

// A quality is how a side's content behaves.
type quality byte

const (
	fine    quality = 'G' // comes up and is healthy
	sick    quality = 'S' // comes up, and its health checks fail
	crashes quality = 'X' // does not reach user space
	half    quality = 'H' // the loader takes it, init finds it damaged
	refused quality = 'D' // whole by its names, but kernel or initramfs are damaged: the loader refuses it
	partial quality = 'P' // no signature
)

// A content is what lies on a side. committed is the model's own knowledge
// that this very content came up healthy and was kept, seen that it has failed
// since.
type content struct {
	quality   quality
	version   string
	committed bool
	seen      bool
}

// A machine is a disk without power. Blocks that cannot be read are not ok.
type machine struct {
	copy1, copy2 struct {
		ok bool
		bootstate.State
	}
	tries struct {
		ok bool
		bootstate.Tries
	}
	fail struct { // all of it that a decision depends on
		side layout.Label
		seq  int
	}
	a, b content
}

func (m *machine) side(label layout.Label) *content {
	if label == layout.SideA {
		return &m.a
	}
	return &m.b
}

// hasGood reports whether a release that was kept is there and still good:
// then the machine must end on a good one.
func (m machine) hasGood() bool {
	return m.a.quality == fine && m.a.committed || m.b.quality == fine && m.b.committed
}

// The newest copy's number in the model, and its versions.
const (
	topSeq     = 50
	versionA   = "20260101-000000"
	versionB   = "20260102-000000"
	versionNew = "20260103-000000"
	noSeq      = 1
)

// canonical names equal machines alike: of sequence numbers only their
// distance matters, of versions only whether a side has the one that it
// committed, since the model asks for everything with --force and
// --allow-downgrade; and of counts only those that a copy of the state can
// still ask for.
func (m machine) canonical() machine {
	top := 0
	for _, c := range m.valid() {
		top = max(top, c.Seq)
	}
	name := func(v, of, as string) string {
		if v == of {
			return as
		}
		return ""
	}
	counts, failed := false, false
	for _, c := range m.valid() {
		counts = counts || c.Seq == m.tries.For && c.Try != ""
		failed = failed || c.Seq == m.fail.seq
		c.A, c.B, c.Floor = name(c.A, m.a.version, versionA), name(c.B, m.b.version, versionB), ""
		c.Bad = name(c.Bad, m.a.version, versionA) + name(c.Bad, m.b.version, versionB)
	}
	if !counts {
		m.tries.Left, m.tries.For = 0, noSeq
	} else {
		m.tries.For += topSeq - top
	}
	if !failed {
		m.fail.side, m.fail.seq = "", noSeq
	} else {
		m.fail.seq += topSeq - top
	}
	for _, c := range m.valid() {
		c.Seq += topSeq - top
	}
	m.a.version, m.b.version = versionA, versionB
	return m
}

// valid are the copies that count.
func (m *machine) valid() (list []*bootstate.State) {
	if m.copy1.ok {
		list = append(list, &m.copy1.State)
	}
	if m.copy2.ok {
		list = append(list, &m.copy2.State)
	}
	return list
}

// copies are the state files as bytes.
func (x *explorer) copies(m machine) bootstate.Copies {
	c := bootstate.Copies{State2On: 5}
	if m.copy1.ok {
		c.State1 = x.render(m.copy1.State)
	}
	if m.copy2.ok {
		c.State2 = x.render(m.copy2.State)
	}
	if m.tries.ok {
		c.Tries = x.render(m.tries.Tries)
	}
	return c
}

// put is a write of a state file; nil is a sector that was lost.
func (m machine) put(path string, data []byte) machine {
	state, err := bootstate.ParseState(data)
	switch path {
	case layout.State1:
		m.copy1.ok, m.copy1.State = err == nil, state
	case layout.State2:
		m.copy2.ok, m.copy2.State = err == nil, state
	case layout.Tries:
		_, err := bootstate.ParseBlock(data)
		m.tries.ok, m.tries.Tries = err == nil, bootstate.ParseTries(data)
	case layout.Fail:
		f := bootstate.ParseFail(data)
		m.fail.side, m.fail.seq = f.Side, f.Seq
	}
	return m
}

// loads is the loader's check of a side.
func (m machine) loads(label layout.Label) bool {
	q := m.side(label).quality
	return q != partial && q != refused
}

// A protocol is the shipped one, or one with a mistake.
type protocol struct {
	name   string
	rules  func([]rule) []rule
	phases func([]Phase) []Phase
	writes func([]StateWrite) []StateWrite
	// direct makes set-default and rollback take effect without a trial.
	direct bool
	// stays makes init wait at a shell where it would restart.
	stays bool
}

// An explorer walks all machines that can be reached.
type explorer struct {
	protocol
	seen     map[machine]machine // and what each came from
	how      map[machine]string
	todo     []machine
	ran      map[running]bool // boots whose all ways are known
	from     machine
	rendered map[any][]byte
	bad      map[string]int
	example  map[string]machine
	boots    int
	beyond   int // machines that nothing is promised of
}

// until stops a walk that has found violations: for mistakes, whose machines
// may be many.
func explore(p protocol, start machine, until int) *explorer {
	x := &explorer{protocol: p, seen: map[machine]machine{}, ran: map[running]bool{}, how: map[machine]string{}, rendered: map[any][]byte{}, bad: map[string]int{}, example: map[string]machine{}}
	x.from = start
	x.push(start, "a fresh disk")
	for len(x.todo) > 0 && (until == 0 || x.violations() < until) {
		m := x.todo[0]
		x.todo = x.todo[1:]
		x.from = m
		x.judge(m)
		if m.hasGood() {
			x.step(m) // else nothing is promised any more
		}
	}
	return x
}

func (x *explorer) push(m machine, how string) {
	m = m.canonical()
	if _, ok := x.seen[m]; ok {
		return
	}
	if x.uncounted(m) {
		x.beyond++
		return
	}
	x.seen[m], x.how[m] = x.from, how
	x.todo = append(x.todo, m)
}

// uncounted machines are beyond the promise, the only ones: a good side that
// began to crash at each start is given up by counting, which a cut within the
// sector of the counts, in just these boots, takes away.
func (x *explorer) uncounted(m machine) bool {
	c := x.copies(m)
	state, picked := bootstate.Pick(c.State1, c.State2)
	return picked != 0 && !m.tries.ok && m.side(state.Good).quality == crashes
}

func (x *explorer) violates(m machine, how string) {
	x.bad[how]++
	if _, ok := x.example[how]; !ok {
		x.example[how] = x.from // where the story of the machine begins
	}
}

func (x *explorer) violations() (n int) {
	for _, v := range x.bad {
		n += v
	}
	return n
}

func (x *explorer) render(v interface{ Render() ([]byte, error) }) []byte {
	if data, ok := x.rendered[v]; ok {
		return data
	}
	data, err := v.Render()
	if err != nil {
		panic(err) // a bug of the model: what is on its disks was parsed
	}
	x.rendered[v] = data
	return data
}

// boot is what GRUB does, and the disk after it.
func (x *explorer) boot(m machine) (bootstate.Boot, machine) {
	x.boots++
	c := x.copies(m)
	choice := bootstate.Next(c.State1, c.State2, c.Tries, m.loads)
	if choice.Tries != nil {
		m = m.put(layout.Tries, choice.Tries)
	}
	return choice.Boot, m
}

// fails is what init does on a side that it finds damaged: its answer, and the
// writes.
func (x *explorer) fails(m machine, at bootstate.Boot) (boot.Answer, []StateWrite) {
	c := x.copies(m)
	state, _ := bootstate.Pick(c.State1, c.State2)
	line := boot.Cmdline{Side: at.Side, Boot: at.Why, OnFail: boot.OnFailAuto}
	a := boot.AnswerTo(line, state, m.tries.Tries, bootstate.Fail{Side: m.fail.side, Seq: m.fail.seq})
	var writes []StateWrite
	if a.GiveUp {
		tries := m.tries.Tries
		tries.Run = bootstate.MaxTries
		writes = append(writes, StateWrite{Path: layout.Tries, Content: x.render(tries), Mend: true})
	}
	if a.Blame {
		writes = append(writes, StateWrite{Path: layout.Fail, Content: x.render(bootstate.Fail{Side: at.Side, Seq: state.Seq}), Mend: true})
	}
	if x.stays {
		a.Ending = boot.Stay
	}
	return a, writes
}

// settle keeps the power on, with nobody there, and says where the machine
// comes to rest.
func (x *explorer) settle(m machine) (bootstate.Boot, machine, string) {
	for range 24 {
		at, after := x.boot(m)
		m = after
		if at.Side == "" {
			return at, m, "no side can be loaded"
		}
		switch m.side(at.Side).quality {
		case fine:
			return at, m, ""
		case sick:
			if m.side(at.Side).committed {
				return at, m, "" // it was healthy once: a machine that serves badly is better than none
			}
			if !at.Why.IsTrial() {
				return at, m, "stays on a sick side, booted as " + string(at.Why)
			}
		case half:
			a, writes := x.fails(m, at)
			if a.Ending == boot.Stay {
				return at, m, "waits at a shell on a damaged side, booted as " + string(at.Why)
			}
			for _, w := range writes {
				m = m.put(w.Path, w.Content)
			}
		}
	}
	return bootstate.Boot{}, m, "restarts for ever"
}

// judge asks of a machine what is promised.
func (x *explorer) judge(m machine) {
	if !m.hasGood() {
		return
	}
	at, after, why := x.settle(m)
	if why != "" {
		x.violates(m, why)
		return
	}
	if after.side(at.Side).quality == fine && !x.updatable(after, at, 3) {
		x.violates(m, "can never be updated again, booted as "+string(at.Why))
	}
	x.judgeSecond(m)
}

// judgeSecond is the boot through the second EFI system partition, the first
// one dead: with it go the first copy and the counts.
func (x *explorer) judgeSecond(m machine) {
	dead := m.put(layout.State1, nil).put(layout.Tries, nil)
	at, _ := x.boot(dead)
	switch {
	case at.Side == "":
		x.violates(m, "no side can be loaded, the first ESP dead")
	case m.copy2.ok && m.side(m.copy2.Good).quality == fine && (at.Side != m.copy2.Good || at.Why != bootstate.Good):
		x.violates(m, "boots as "+string(at.Why)+", the first ESP dead")
	case m.copy2.ok && !m.side(m.copy2.Good).committed && !m.side(m.copy2.Good).seen && m.side(m.copy2.Good).quality != fine:
		x.violates(m, "boots what was never good, the first ESP dead")
	}
}

// updatable reports whether a person with a shell on the side that runs comes
// to an update of the other one, by commands and restarts.
func (x *explorer) updatable(m machine, at bootstate.Boot, depth int) bool {
	m, s := x.commits(m, at, func(machine, string) {})
	if _, err := x.plan(s, Request{Target: "nonbooted", Release: osInfo(versionNew), Force: true}); err == nil {
		return true
	}
	if depth == 0 {
		return false
	}
	for _, change := range x.changes(s) {
		next := m
		for _, w := range change.Writes {
			next = next.put(w.Path, w.Content)
		}
		at, after, why := x.settle(next)
		if why == "" && x.updatable(after, at, depth-1) {
			return true
		}
	}
	return false
}

func osInfo(version string) release.Info {
	return release.Info{Kind: release.OS, Version: version, Architecture: "x86_64"}
}

// photograph is what Inspect would see on the machine while it runs.
func (x *explorer) photograph(m machine, at bootstate.Boot) State {
	side := func(label layout.Label, c content) Side {
		s := Side{Volume: Volume{Label: string(label)}, Info: osInfo(c.version), Room: 1}
		switch c.quality {
		case partial:
			s.Incomplete, s.Info = "there is no signature", release.Info{}
		case refused:
			s.Damaged = "kernel"
		}
		return s
	}
	s := State{Booted: at.Side, BootedVersion: m.side(at.Side).version, Why: at.Why, InRAM: true, A: side(layout.SideA, m.a), B: side(layout.SideB, m.b)}
	s.Loader = Loader{First: "/dev/vda1", Second: "/dev/vda5", Copies: x.copies(m)}.after(nil)
	s.Loader.Fail = bootstate.Fail{Side: m.fail.side, Seq: m.fail.seq}
	return s
}

func (x *explorer) plan(s State, r Request) (Plan, error) {
	rules := planRules()
	if x.protocol.rules != nil {
		rules = x.protocol.rules(rules)
	}
	r.Architecture, r.Now = "x86_64", time.Time{}
	return planBy(rules, s, r)
}

// step goes to every machine that is one boot away.
func (x *explorer) step(m machine) {
	at, counted := x.boot(m)
	if at.Side != "" {
		if counted != m {
			x.push(counted, "GRUB counts")
			x.push(m.put(layout.Tries, nil), "GRUB's count is torn")
			x.runs(m, at, "the count is lost, ")
		}
		x.runs(counted, at, "")
	}
	for _, label := range bothSides() {
		if m.loads(label) {
			x.runs(m, bootstate.Boot{Side: label, Why: bootstate.Manual}, "by hand, ")
		}
	}
}

// A running machine is one with power.
type running struct {
	machine
	bootstate.Boot
}

// runs is one boot of a side.
func (x *explorer) runs(m machine, at bootstate.Boot, how string) {
	m = m.canonical()
	if x.ran[running{m, at}] {
		return
	}
	x.ran[running{m, at}] = true
	if side := m.side(at.Side); side.quality != fine && side.committed && at.Why != bootstate.Manual {
		side.seen = true
	}
	how += string(at.Side) + " as " + string(at.Why) + ": "
	switch m.side(at.Side).quality {
	case crashes:
		x.push(m, how+"crashes")
	case half:
		_, writes := x.fails(m, at)
		x.push(x.cut(m, writes, how+"init fails"), how+"init failed")
	case sick:
		s := x.photograph(m, at)
		s.Unjudged = true
		x.updates(m, s, how+"sick, ")
		s.Unjudged, s.Unhealthy = false, "sick"
		x.commands(m, s, how+"sick, judged, ")
		if at.Why.IsTrial() {
			fail := StateWrite{Path: layout.Fail, Content: x.render(bootstate.Fail{Side: at.Side, Seq: s.Loader.State.Seq}), Mend: true}
			x.push(x.cut(m, []StateWrite{fail}, how+"health fails"), how+"health failed")
		}
	case fine:
		s := x.photograph(m, at)
		s.Unjudged = true
		x.commands(m, s, how)
		m, s = x.commits(m, at, func(m machine, what string) { x.push(m, how+what) })
		x.push(m, how+"judged healthy")
		x.commands(m, s, how+"healthy, ")
		if other := m.side(at.Side.Other()); at.Why != bootstate.Good || other.quality != fine || !other.committed {
			return // without a side to fall back on nothing is promised
		}
		for _, worse := range []quality{sick, crashes, half, refused} {
			rotten := m
			rotten.side(at.Side).quality = worse
			x.push(rotten, how+"turns "+string(worse))
		}
	}
}

// commits is the word of the health service on a healthy boot: the machine and
// its photograph after it.
func (x *explorer) commits(m machine, at bootstate.Boot, push func(machine, string)) (machine, State) {
	s := x.photograph(m, at)
	change, err := NewCommit(s, time.Time{})
	if err != nil {
		return m, s
	}
	for _, w := range x.order(change.Writes) {
		push(m, "cut before the commit's "+w.Path)
		push(m.put(w.Path, nil), "cut in the commit's "+w.Path)
		x.mends(m, w)
		m = m.put(w.Path, w.Content)
		x.learns(&m, at)
	}
	x.learns(&m, at)
	return m, x.photograph(m, at)
}

// learns is what the model knows after a word of the health service: this side
// is kept, and what did not come up three times is no good release any more.
func (x *explorer) learns(m *machine, at bootstate.Boot) {
	state := x.photograph(*m, at).Loader.State
	running, other := m.side(at.Side), m.side(at.Side.Other())
	if state.Good == at.Side && state.Version(at.Side) == running.version {
		running.committed = true
	}
	if state.Bad == other.version || state.Good == at.Side && state.Version(at.Side.Other()) == "" {
		other.committed = other.committed && other.quality != fine
	}
}

func (x *explorer) order(writes []StateWrite) []StateWrite {
	if x.protocol.writes != nil {
		return x.protocol.writes(slices.Clone(writes))
	}
	return writes
}

// mends wants a write over a sector that was lost to expect that.
func (x *explorer) mends(m machine, w StateWrite) {
	lost := w.Path == layout.State1 && !m.copy1.ok || w.Path == layout.State2 && !m.copy2.ok || w.Path == layout.Tries && !m.tries.ok
	if lost && !w.Mend {
		x.violates(m, "a write refuses what it should mend: "+w.Path)
	}
}

// cut does writes, with a power cut before and in each.
func (x *explorer) cut(m machine, writes []StateWrite, how string) machine {
	for _, w := range x.order(writes) {
		x.push(m, how+": cut before "+w.Path)
		x.push(m.put(w.Path, nil), how+": cut in "+w.Path)
		x.mends(m, w)
		m = m.put(w.Path, w.Content)
	}
	return m
}

// changes are what somebody can do to the state by hand.
func (x *explorer) changes(s State) []Change {
	var list []Change
	add := func(c Change, err error) {
		if err == nil && len(c.Writes) > 0 {
			list = append(list, c)
		}
	}
	if x.direct {
		other := s.Loader.State.Good.Other()
		if s.refuseLoader() == nil && s.Booted == s.Loader.State.Good && s.Side(other).Incomplete == "" {
			add(s.change(handedTo(s.Loader.State, other, time.Time{}), s.Loader.Tries, "direct"))
		}
		return list
	}
	add(NewRollback(s, true, time.Time{}))
	add(NewDefault(s, layout.SideA, true, time.Time{}))
	add(NewDefault(s, layout.SideB, true, time.Time{}))
	return list
}

// commands is everything that somebody can ask for while the machine runs.
func (x *explorer) commands(m machine, s State, how string) {
	for _, c := range x.changes(s) {
		x.push(x.cut(m, c.Writes, how+c.Says), how+c.Says)
	}
	x.updates(m, s, how)
}

// updates are all releases to both sides.
func (x *explorer) updates(m machine, s State, how string) {
	for _, label := range bothSides() {
		x.apply(m, s, label, versionNew, []quality{fine, sick, crashes}, how)
		there, other := *m.side(label), *m.side(label.Other())
		// Once more what is there, or was, and what the other side has.
		x.apply(m, s, label, there.version, []quality{fine, there.quality}, how)
		if other.version != there.version {
			x.apply(m, s, label, other.version, []quality{fine, other.quality}, how)
		}
	}
}

// apply brings a release onto a side, with a cut at every point.
func (x *explorer) apply(m machine, s State, label layout.Label, version string, as []quality, how string) {
	p, err := x.plan(s, Request{Target: strings.ToLower(label.Letter()), Release: osInfo(version), Force: true, AllowDowngrade: true})
	if err != nil || p.Current {
		return
	}
	if p.Written {
		as = []quality{m.side(label).quality}
	}
	how += fmt.Sprintf("apply %s to %s", version, label)
	for _, q := range as {
		if q == fine || q == sick || q == crashes || p.Written {
			x.performs(m, p, content{quality: q, version: version}, how)
		}
	}
}

// performs does a plan's phases.
func (x *explorer) performs(m machine, p Plan, what content, how string) {
	phases := p.Phases()
	if x.protocol.phases != nil {
		phases = x.protocol.phases(phases)
	}
	label := layout.Label(p.Side.Label)
	side, committedAt := m.side(label), x.photograph(m, bootstate.Boot{Side: p.Booted}).Loader.State.Version(label)
	for _, phase := range phases {
		x.push(m, how+": cut before: "+string(phase))
		switch phase {
		case giveWay:
			m = x.cut(m, p.Before, how)
		case markIncomplete:
			x.touches(m, label)
			*side = content{quality: partial, version: side.version}
		case writeSide:
			x.touches(m, label)
			if side.quality != partial {
				*side = content{quality: half, version: side.version}
			}
			x.push(m, how+": cut while it writes")
			// The same release once more is what it was.
			what.committed = p.Release.Version == committedAt
			*side = what
		case readBack:
			if q := side.quality; q == half || q == refused || q == partial {
				return
			}
		case putOnTrial:
			m = x.cut(m, p.Writes, how)
		}
	}
	x.push(m, how)
}

// touches is the moment in which the last good release must not be on a side.
func (x *explorer) touches(m machine, label layout.Label) {
	other := m.side(label.Other())
	if c := m.side(label); c.quality == fine && c.committed && (!other.committed || other.seen) {
		x.violates(m, "the last good release is overwritten")
	}
}

func freshMachine() machine {
	state, tries := bootstate.Initial(versionA, time.Time{})
	state.B = versionB
	var m machine
	m.copy1.ok, m.copy1.State = true, state
	m.copy2 = m.copy1
	m.tries.ok, m.tries.Tries = true, tries
	m.a = content{quality: fine, version: versionA, committed: true}
	m.b = m.a
	m.b.version = versionB
	return m.canonical()
}

// tell prints how a machine came to be.
func (x *explorer) tell(t *testing.T, m machine) {
	var lines []string
	for range 12 {
		lines = append(lines, fmt.Sprintf("%s\n      %+v", x.how[m], m))
		if x.seen[m] == m {
			break
		}
		m = x.seen[m]
	}
	slices.Reverse(lines)
	t.Logf("    %s", strings.Join(lines, "\n    "))
}

func TestNoPowerCutAndNoBadReleaseEndsOnADeadMachine(t *testing.T) {
	t.Parallel()
	x := explore(protocol{}, freshMachine(), 0)
	t.Logf("%d machines, %d boots, %d violations (%d ways lead beyond the promise)", len(x.seen), x.boots, x.violations(), x.beyond)
	for _, how := range slices.Sorted(maps.Keys(x.bad)) {
		t.Errorf("%d × %s", x.bad[how], how)
		x.tell(t, x.example[how])
	}
	if len(x.seen) < 1000 {
		t.Errorf("only %d machines: the model does not reach what it should", len(x.seen))
	}
}

// Each rule and each place in the order has its reason: without it the model
// finds a machine that breaks the promise. Two rules do one another's work
// here, and go together. Of two things the model does not show the need: that
// the copies agree, and that the trial comes after the side is written; without
// them a release may be called bad that was never tried, but nothing is lost.
func TestWithoutAnyOfTheRulesTheModelFindsABrokenMachine(t *testing.T) {
	without := func(names ...string) func([]rule) []rule {
		return func(rules []rule) []rule {
			kept := slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return slices.Contains(names, r.name) })
			if len(kept) != len(rules)-len(names) {
				t.Fatalf("not all of %q are rules", names)
			}
			return kept
		}
	}
	moved := func(phase Phase, to int) func([]Phase) []Phase {
		return func(phases []Phase) []Phase {
			at := slices.Index(phases, phase)
			if at < 0 {
				return phases
			}
			phases = slices.Delete(slices.Clone(phases), at, at+1)
			return slices.Insert(phases, min(to, len(phases)), phase)
		}
	}
	for _, p := range []protocol{
		{name: "the copy that GRUB goes by is written first", writes: func(w []StateWrite) []StateWrite {
			at := slices.IndexFunc(w, func(w StateWrite) bool { return w.Path == layout.State1 || w.Path == layout.State2 })
			if at >= 0 && at+1 < len(w) {
				w[at], w[at+1] = w[at+1], w[at]
			}
			return w
		}},
		{name: "the place is given away last", phases: moved(giveWay, 9)},
		{name: "the place is never given away", phases: func(p []Phase) []Phase {
			return slices.DeleteFunc(slices.Clone(p), func(p Phase) bool { return p == giveWay })
		}},
		{name: "the side is not marked incomplete first", phases: func(p []Phase) []Phase {
			return slices.DeleteFunc(slices.Clone(p), func(p Phase) bool { return p == markIncomplete })
		}},
		{name: "an update during a trial", rules: without("no trial is undecided", "the committed side runs")},
		{name: "an update from a side that is not committed", rules: without("the committed side runs")},
		{name: "an update on an unhealthy boot", rules: without("this boot was healthy")},
		{name: "the booted side is overwritten, the other one unproven", rules: without("the booted side's twin is proven")},
		{name: "set-default without a trial", direct: true},
		{name: "init waits at a shell", stays: true},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			x := explore(p, freshMachine(), 1)
			t.Logf("%d machines, %d violations", len(x.seen), x.violations())
			if x.violations() == 0 {
				t.Error("the model finds nothing wrong with it")
			}
			for _, how := range slices.Sorted(maps.Keys(x.bad)) {
				t.Logf("%d × %s", x.bad[how], how)
			}
		})
	}
}

func bothSides() []layout.Label { return []layout.Label{layout.SideA, layout.SideB} }
