//go:build qemu

package qemutests

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/qemu-tests/blocklog"
)

// How much of a recording is judged, checked and booted: in `make test` a
// sample, in `make crashtest` all of it.
type crashLimits struct {
	states  blocklog.Options
	perKind int           // of one recording; all that are in order
	only    blocklog.Kind // look at no other; empty for all
	first   bool          // the first that is broken is enough
	fsck    int           // states of one recording that fsck looks at
	boots   int           // states that are really booted
}

func limits() crashLimits {
	l := crashLimits{states: blocklog.Options{Seed: 1, Subsets: 2000}, perKind: 40, fsck: 5, boots: 6}
	if full() {
		l.perKind, l.fsck, l.boots = 1<<30, 150, 60
	}
	// CRASHTEST_BOOTS is for a machine with more time, or less.
	if n, err := strconv.Atoi(os.Getenv("CRASHTEST_BOOTS")); err == nil && n >= 0 {
		l.boots = n
	}
	return l
}

func full() bool { return os.Getenv("CRASHTEST") == "full" }

// A tally counts states, and those that are broken, by kind.
type tally map[blocklog.Kind][2]int

func (y tally) String() string {
	var b strings.Builder
	for _, k := range blocklog.Kinds() {
		fmt.Fprintf(&b, " %d (%d) |", y[k][0], y[k][1])
	}
	return b.String()
}

// withoutFlushes is the recording on a disk that may write in any order.
func (rec recording) withoutFlushes() recording {
	lax := recording{Name: rec.Name + ", no flushes", Before: rec.Before}
	for _, e := range rec.Log {
		if e.Flags &^= blocklog.Flush | blocklog.FUA; e.Writes() {
			lax.Log = append(lax.Log, e)
		}
	}
	return lax
}

// chosen are the states to look at: all that are in order, and of each other
// kind at most so many, from every request alike. The seed decides.
func (rec recording) chosen(l crashLimits, most int) func(yield func(blocklog.State) bool) {
	there := map[blocklog.Kind]map[int][]int{} // by request, numbered within the kind
	seen := map[blocklog.Kind]int{}
	blocklog.States(rec.Before, rec.Log, l.states, func(s blocklog.State) bool {
		if there[s.Kind] == nil {
			there[s.Kind] = map[int][]int{}
		}
		there[s.Kind][s.Entry] = append(there[s.Kind][s.Entry], seen[s.Kind])
		seen[s.Kind]++
		return true
	})
	random := rand.New(rand.NewPCG(l.states.Seed, 2))
	wanted := map[blocklog.Kind]map[int]bool{}
	for _, kind := range blocklog.Kinds() {
		if kind != blocklog.InOrder && seen[kind] > most {
			wanted[kind] = fromEach(there[kind], most, random)
		}
	}
	return func(yield func(blocklog.State) bool) {
		seen := map[blocklog.Kind]int{}
		blocklog.States(rec.Before, rec.Log, l.states, func(s blocklog.State) bool {
			if l.only != "" && s.Kind != l.only {
				return true
			}
			seen[s.Kind]++
			if sample := wanted[s.Kind]; sample != nil && !sample[seen[s.Kind]-1] {
				return true
			}
			return yield(s)
		})
	}
}

// fromEach takes most numbers, one of each group in turn.
func fromEach(groups map[int][]int, most int, random *rand.Rand) map[int]bool {
	sample := map[int]bool{}
	keys := slices.Sorted(maps.Keys(groups))
	random.Shuffle(len(keys), func(i, k int) { keys[i], keys[k] = keys[k], keys[i] })
	for _, key := range keys {
		all := groups[key]
		random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	}
	for turn := 0; len(sample) < most; turn++ {
		for _, key := range keys {
			if turn < len(groups[key]) && len(sample) < most {
				sample[groups[key][turn]] = true
			}
		}
	}
	return sample
}

// each gives states to a function, on as many processors as there are.
func each(states func(func(blocklog.State) bool), do func(blocklog.State, blocklog.Overlay)) {
	type built struct {
		blocklog.State
		o blocklog.Overlay
	}
	queue := make(chan built)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for s := range queue {
				do(s.State, s.o)
			}
		})
	}
	states(func(s blocklog.State) bool {
		queue <- built{s, s.Overlay()}
		return true
	})
	close(queue)
	workers.Wait()
}

// wrongOf judges the states of a recording.
func (j *crashJudge) wrongOf(rec recording, l crashLimits, judges func(blocklog.Overlay) string) (tally, map[string]int) {
	j.t.Helper()
	began := time.Now()
	var mu sync.Mutex
	counts, why := tally{}, map[string]int{}
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return l.first && len(why) > 0
	}
	each(rec.chosen(l, l.perKind), func(s blocklog.State, o blocklog.Overlay) {
		if enough() {
			return
		}
		wrong := judges(o)
		mu.Lock()
		defer mu.Unlock()
		c := counts[s.Kind]
		c[0]++
		if wrong != "" {
			c[1]++
			why[wrong]++
			if why[wrong] == 1 {
				j.t.Logf("%s, %s, request %d: %s", rec.Name, s.Kind, s.Entry, wrong)
			}
		}
		counts[s.Kind] = c
	})
	j.t.Logf("| %s |%v %.0f s", rec.Name, counts, time.Since(began).Seconds())
	return counts, why
}

// A logged is a partition of an image whose writes are logged, each with a
// flush behind it, as O_SYNC does.
type logged struct {
	volume
	log *[]blocklog.Entry
}

func (l logged) WriteAt(p []byte, offset int64) (int, error) {
	*l.log = append(*l.log, blocklog.Entry{Sector: (l.offset + offset) / blocklog.SectorSize, Count: int64(len(p)) / blocklog.SectorSize, Data: slices.Clone(p)},
		blocklog.Entry{Flags: blocklog.Flush})
	return l.volume.WriteAt(p, offset)
}

// The writes of a switch, by bootstate's own writer, on the real disk image:
// what the judge finds without a guest.
func TestEveryCutOfASwitchBootsAWholeRelease(t *testing.T) {
	path, _ := ownDisk(t)
	j := newJudge(t, images(t).Disk)
	var log []blocklog.Entry
	open := func(label layout.Label) logged { return logged{openVolume(t, path, label), &log} }
	first, second := open(layout.EFISystem), open(layout.EFISystem2)
	c := bootstate.ReadCopies(first, second)
	state, _ := bootstate.Pick(c.State1, c.State2)
	tries := bootstate.ParseTries(c.Tries)
	write := func(v logged, path string, content []byte, err error) {
		t.Helper()
		if err == nil {
			err = bootstate.Write(v, path, content, false)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	state.Seq++
	state.Try = layout.SideB
	tries.Left, tries.For = bootstate.MaxTries, state.Seq
	counts, err := tries.Render()
	write(first, layout.Tries, counts, err)
	content, err := state.Render()
	write(first, layout.State1, content, err)
	write(second, layout.State2, content, err)
	got, why := j.wrongOf(recording{Name: "set-default", Log: log}, limits(), j.judges)
	for wrong, n := range why {
		t.Errorf("%d × %s", n, wrong)
	}
	if got[blocklog.InOrder][0] != 4 || got[blocklog.Garbage][0] != 3 {
		t.Errorf("the states are%v", got)
	}
	// The judge can find a broken one: both copies in one go.
	both := []blocklog.Entry{log[2], log[4]}
	both[0].Data, both[1].Data = make([]byte, 512), make([]byte, 512)
	if _, why := j.wrongOf(recording{Name: "both copies lost", Log: both}, limits(), j.judges); len(why) == 0 {
		t.Error("the judge finds nothing wrong with a disk whose copies are both lost")
	}
}

// Issue 4, crash states: every state that a power cut can leave behind a real
// run of our program, recorded in a guest. `make test` judges a sample of each
// kind, `make crashtest` all.
func TestEveryCutOfARealUpdateBootsAWholeRelease(t *testing.T) {
	t.Parallel()
	r, l := recorded(t), limits()
	j := newJudge(t, r.image, r.Files...)
	var broken []string // told last, where a reader of the log looks first
	for _, rec := range r.Made {
		judges, old := j.judges, false
		switch rec.Name {
		case oldWay:
			judges, old = j.judgesOldWay, true
		case oldLoaderWay:
			judges, old = j.judgesOldLoader, true
		}
		l := l
		if old {
			l.perKind = min(l.perKind, 500)
		}
		_, why := j.wrongOf(rec, l, judges)
		switch {
		case old && len(why) == 0:
			broken = append(broken, "the judge finds nothing wrong with "+rec.Name)
		case !old:
			for wrong, n := range why {
				broken = append(broken, fmt.Sprintf("%s: %d × %s", rec.Name, n, wrong))
			}
			broken = append(broken, j.fscked(rec, l)...)
		}
		// The order is what saves us: without the flushes between our own writes
		// (a program that forgets them, a disk that lies about them) the judge
		// must find what they are there for. It is one subset in 20 that is
		// broken: of 40 there was none once, so there are up to 300.
		if rec.Name == applyNonbooted {
			lax := l
			lax.perKind, lax.only, lax.first = 300, blocklog.Subset, true
			if _, why := j.wrongOf(rec.withoutFlushes(), lax, j.judges); len(why) == 0 {
				broken = append(broken, "the judge finds nothing wrong where no write waits for another")
			}
		}
	}
	t.Logf("sides: %d of %d states were new, EFI system partitions: %d of %d, show: %d of %d",
		len(j.sides.all), j.sides.asked, len(j.esps.all), j.esps.asked, len(j.shown.all), j.shown.asked)
	j.bootsSome(r.Made, l)
	for _, what := range broken {
		t.Error(what)
	}
}
