//go:build qemu

package qemutests

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/qemu-tests/blocklog"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// A bootable is a state that is to be really booted, and what the judge says
// will happen.
type bootable struct {
	name string
	o    blocklog.Overlay
	want outcome
}

// bootsSome starts a sample of the states through OVMF and GRUB, and wants the
// side, the reason and the loader that the judge has said, up to the first
// event of our init. The sample has as many of each recording and kind as it
// can; sides with the tiny release, which is none that runs, are passed over.
func (j *crashJudge) bootsSome(made []recording, l crashLimits) {
	j.t.Helper()
	for _, b := range j.sample(made, l) {
		j.t.Run("boots "+b.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "disk.img")
			run(t, "cp", "--sparse=always", j.image.Name(), path)
			writeSectors(t, path, b.o)
			g := suite.Boot(t, Scenario{Firmware: true, OpenEnd: true, Disks: []vm.Disk{{ID: "boot", Path: path, BootIndex: 1}}, Deadline: 3 * time.Minute})
			said := g.Says(`Command line: .*psyopsos=(\S+) psyopsos\.boot=(\S+) .*psyopsos\.loader=(\S+)`)
			want := []string{string(b.want.choice.Boot.Side), string(b.want.choice.Boot.Why), b.want.esp.loader}
			if !slices.Equal(said[1:], want) {
				t.Errorf("it booted %q, the judge said %q", said[1:], want)
			}
			g.Sees(func(step.Event) bool { return true })
		})
	}
}

// sample takes one state of each outcome in turn.
func (j *crashJudge) sample(made []recording, l crashLimits) (sample []bootable) {
	if l.boots == 0 {
		return nil
	}
	groups := map[string][]bootable{}
	for _, rec := range made {
		if rec.Name == oldWay || rec.Name == oldLoaderWay {
			continue
		}
		for s := range rec.chosen(l, min(l.perKind, 100)) {
			o := s.Overlay()
			want := j.outcome(o)
			if want.esp.second && !full() {
				continue // esp_dead_test.go boots by the second partition
			}
			if want.boots().kernel {
				end := fmt.Sprint(want.choice.Boot, want.esp.loader, want.esp.second)
				groups[end] = append(groups[end], bootable{fmt.Sprintf("%s, %s, request %d", rec.Name, s.Kind, s.Entry), o, want})
			}
		}
	}
	ends := slices.Sorted(maps.Keys(groups))
	j.t.Logf("what is booted ends in %d ways: %s", len(ends), strings.Join(ends, ", "))
	random := rand.New(rand.NewPCG(l.states.Seed, 3))
	for len(sample) < l.boots && len(ends) > 0 {
		for _, end := range slices.Clone(ends) {
			all := groups[end]
			if len(all) == 0 {
				ends = slices.DeleteFunc(ends, func(e string) bool { return e == end })
				continue
			}
			i := random.IntN(len(all))
			sample = append(sample, all[i])
			groups[end] = slices.Delete(all, i, i+1)
		}
	}
	return sample[:min(len(sample), l.boots)]
}

// writeSectors puts a state onto a copy of the image.
func writeSectors(t *testing.T, path string, o blocklog.Overlay) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for offset, data := range o.Runs {
		if _, err := f.WriteAt(data, offset); err != nil {
			t.Fatal(err)
		}
	}
}
