//go:build qemu

package qemutests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/qemu-tests/blocklog"
)

// A tally counts states, and those that are broken, by kind.
type tally map[blocklog.Kind][2]int

func (y tally) String() string {
	var b strings.Builder
	for _, k := range blocklog.Kinds() {
		fmt.Fprintf(&b, " %d (%d) |", y[k][0], y[k][1])
	}
	return b.String()
}

// wrongOf judges the states of a recording. Of a large log in `make test` only
// so many are judged beside those in order; `make crashtest` judges all.
func (j *crashJudge) wrongOf(name string, before blocklog.Overlay, log []blocklog.Entry, judges func(blocklog.Overlay) string) (tally, map[string]int) {
	j.t.Helper()
	options, most := blocklog.Options{Seed: 1, Subsets: 100, Sectors: 2}, 600
	if os.Getenv("CRASHTEST") == "full" {
		options, most = blocklog.Options{Seed: 1, Subsets: 2000, Sectors: 16}, 1<<30
	}
	counts, why := tally{}, map[string]int{}
	n := 0
	blocklog.States(j.image, before, log, options, func(s blocklog.State) bool {
		if n++; n > most && s.Kind != blocklog.InOrder {
			return true
		}
		c := counts[s.Kind]
		c[0]++
		if wrong := judges(s.Overlay); wrong != "" {
			c[1]++
			why[wrong]++
			if why[wrong] == 1 {
				j.t.Logf("%s, %s, request %d: %s", name, s.Kind, s.Entry, wrong)
			}
		}
		counts[s.Kind] = c
		return true
	})
	j.t.Logf("| %s |%v", name, counts)
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
// what the judge finds without a guest. Written in the wrong order, or with
// a rename on a mounted FAT, it must find broken states (crash_record_test.go
// records those in a guest).
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
	got, why := j.wrongOf("set-default", nil, log, j.judges)
	for wrong, n := range why {
		t.Errorf("%d × %s", n, wrong)
	}
	if got[blocklog.InOrder][0] != 4 || got[blocklog.Garbage][0] != 3 {
		t.Errorf("the states are%v", got)
	}
	t.Logf("grub-fstest read %d states of volumes, %d were known", j.byGRUB, j.known)

	// The judge can find a broken one: both copies in one go.
	both := []blocklog.Entry{log[2], log[4]}
	both[0].Data, both[1].Data = make([]byte, 512), make([]byte, 512)
	if _, why := j.wrongOf("both copies lost", nil, both, j.judges); len(why) == 0 {
		t.Error("the judge finds nothing wrong with a disk whose copies are both lost")
	}
}
