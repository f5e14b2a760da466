package blocklog

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
)

// An Overlay is the sectors in which a disk differs from its image.
type Overlay map[int64][]byte

// apply writes the first sectors of an entry.
func (o Overlay) apply(e Entry, sectors int64) {
	for i := range sectors {
		if e.Flags&Discard != 0 {
			o[e.Sector+i] = zeros[:]
			continue
		}
		o[e.Sector+i] = e.Data[i*SectorSize : (i+1)*SectorSize]
	}
}

// After is what a disk differs in from its image when all of a log is on it.
func After(before Overlay, log []Entry) Overlay {
	o := clone(before)
	for _, e := range log {
		if e.Writes() {
			o.apply(e, e.Count)
		}
	}
	return o
}

var zeros [SectorSize]byte // nobody writes to it

// In is the part of an overlay between two sectors.
func (o Overlay) In(from, to int64) Overlay {
	part := Overlay{}
	for sector, data := range o {
		if sector >= from && sector < to {
			part[sector] = data
		}
	}
	return part
}

// Key is the same of overlays that are the same.
func (o Overlay) Key() [sha256.Size]byte {
	h := sha256.New()
	for _, sector := range slices.Sorted(maps.Keys(o)) {
		_ = binary.Write(h, binary.LittleEndian, sector)
		h.Write(o[sector])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Runs are the sectors in pieces that lie in one.
func (o Overlay) Runs(yield func(offset int64, data []byte) bool) {
	var run []byte
	var first int64
	for _, sector := range slices.Sorted(maps.Keys(o)) {
		if n := int64(len(run)) / SectorSize; n > 0 && first+n != sector {
			if !yield(first*SectorSize, run) {
				return
			}
			run = run[:0]
		}
		if len(run) == 0 {
			first = sector
		}
		run = append(run, o[sector]...)
	}
	if len(run) > 0 {
		yield(first*SectorSize, run)
	}
}

// Over reads an image through an overlay, from a byte of it on.
func (o Overlay) Over(image io.ReaderAt, start int64) io.ReaderAt { return reader{o, image, start} }

type reader struct {
	over  Overlay
	image io.ReaderAt
	start int64
}

func (r reader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.image.ReadAt(p, r.start+offset)
	first := r.start + offset
	for sector := first / SectorSize; sector*SectorSize < first+int64(n); sector++ {
		data, ok := r.over[sector]
		if !ok {
			continue
		}
		if at := sector*SectorSize - first; at >= 0 {
			copy(p[at:n], data)
		} else {
			copy(p[:n], data[-at:])
		}
	}
	return n, err
}

// A Kind is a way in which power is lost.
type Kind string

// The kinds of states.
const (
	InOrder Kind = "in order"             // a number of whole writes
	Torn    Kind = "torn at 512 B"        // the last one as far as a sector
	Garbage Kind = "sector garbage"       // the sector that was being written
	Zeroed  Kind = "sector zeroed"        // the same
	Block   Kind = "its 4 KiB zeroed"     // and what else was in its block
	Subset  Kind = "subset since a flush" // whatever the disk's cache had written back
)

// Kinds are all of them, in the order of tables.
func Kinds() []Kind { return []Kind{InOrder, Torn, Garbage, Zeroed, Block, Subset} }

// A State is a disk after a power cut: Entry is the request in or after which
// it came.
type State struct {
	Kind  Kind
	Entry int
	build func() Overlay
}

// Overlay builds the state. Whoever only counts need not pay for it; it may be
// asked for until the function that was given the state returns.
func (s State) Overlay() Overlay { return s.build() }

// Options bound what cannot be exhausted.
type Options struct {
	Seed    uint64
	Subsets int // samples of subsets over the whole log, where they are too many
	Sectors int // of one write of which each is damaged in turn; of longer writes so many are sampled; 0: all
}

// fewWrites since a flush have all their subsets built.
const fewWrites = 9

// States tells every state of the log over base, the sectors that differ from
// the image before its first entry. It stops when yield says so.
func States(base Overlay, log []Entry, o Options, yield func(State) bool) {
	g := generator{log: log, options: o, random: rand.New(rand.NewPCG(o.Seed, 1)), yield: yield}
	g.run(clone(base))
}

type generator struct {
	log     []Entry
	options Options
	random  *rand.Rand
	yield   func(State) bool
	done    bool
}

func (g *generator) tell(kind Kind, entry int, build func() Overlay) {
	if !g.done {
		g.done = !g.yield(State{kind, entry, build})
	}
}

func (g *generator) run(now Overlay) {
	flushed := clone(now)
	whole := func() Overlay { return clone(now) }
	g.tell(InOrder, -1, whole)
	var since []int // writes that no flush has followed
	epochs := g.epochs()
	for i, e := range g.log {
		if g.done {
			return
		}
		if e.Writes() {
			g.inFlight(i, e, now)
			now.apply(e, e.Count)
			g.tell(InOrder, i, whole)
			since = append(since, i)
		}
		last := i == len(g.log)-1
		if e.Flags&Flush != 0 || last {
			g.subsets(flushed, since, epochs)
		}
		if e.Flags&Flush != 0 {
			flushed, since = clone(now), nil
		}
		if e.Flags&FUA != 0 {
			// It is on the medium, before what came ahead of it may be.
			flushed.apply(e, e.Count)
		}
	}
}

// inFlight are the states of a cut within one write.
func (g *generator) inFlight(i int, e Entry, before Overlay) {
	upTo := func(sectors int64) Overlay {
		o := clone(before)
		o.apply(e, sectors)
		return o
	}
	for sectors := int64(1); sectors < e.Count; sectors++ {
		g.tell(Torn, i, func() Overlay { return upTo(sectors) })
	}
	blocks := map[int64]bool{}
	for _, n := range g.some(e.Count) {
		with := func(kind Kind, data []byte) {
			g.tell(kind, i, func() Overlay {
				o := upTo(n)
				o[e.Sector+n] = data
				return o
			})
		}
		with(Garbage, g.garbage())
		with(Zeroed, zeros[:])
		first := (e.Sector + n) / perBlock * perBlock
		if blocks[first] {
			continue // each of a block's sectors gives the same state
		}
		blocks[first] = true
		g.tell(Block, i, func() Overlay {
			o := upTo(n)
			for sector := first; sector < first+perBlock; sector++ {
				o[sector] = zeros[:]
			}
			return o
		})
	}
}

// perBlock sectors are what many disks write at a time, though they say 512.
const perBlock = 4096 / SectorSize

// some are the sectors of a write that are damaged in turn.
func (g *generator) some(count int64) []int64 {
	var list []int64
	if g.options.Sectors == 0 || count <= int64(g.options.Sectors) {
		for n := range count {
			list = append(list, n)
		}
		return list
	}
	for range g.options.Sectors {
		list = append(list, g.random.Int64N(count))
	}
	return list
}

func (g *generator) garbage() []byte {
	data := make([]byte, SectorSize)
	for i := 0; i < len(data); i += 8 {
		binary.LittleEndian.PutUint64(data[i:], g.random.Uint64())
	}
	return data
}

// epochs is how many stretches between flushes have too many writes.
func (g *generator) epochs() int {
	n, writes := 0, 0
	for i, e := range g.log {
		if e.Writes() {
			writes++
		}
		if e.Flags&Flush != 0 || i == len(g.log)-1 {
			if writes > fewWrites {
				n++
			}
			writes = 0
		}
	}
	return n
}

// subsets are the states in which the disk's cache has written back some of
// what came since the last flush, in the order in which it came.
func (g *generator) subsets(flushed Overlay, since []int, epochs int) {
	if len(since) < 2 {
		return // in order has them
	}
	build := func(take []bool) {
		last := 0
		for n, i := range since {
			if take[n] {
				last = i
			}
		}
		g.tell(Subset, last, func() Overlay {
			o := clone(flushed)
			for n, i := range since {
				if take[n] {
					o.apply(g.log[i], g.log[i].Count)
				}
			}
			return o
		})
	}
	take := make([]bool, len(since))
	if len(since) <= fewWrites {
		for bits := range 1 << len(since) {
			for n := range take {
				take[n] = bits>>n&1 == 1
			}
			build(take)
		}
		return
	}
	for range g.options.Subsets/max(1, epochs) + 1 {
		share := g.random.Float64()
		for n := range take {
			take[n] = g.random.Float64() < share
		}
		build(take)
	}
}

// clone is never nil.
func clone(o Overlay) Overlay {
	n := make(Overlay, len(o)+8)
	maps.Copy(n, o)
	return n
}
