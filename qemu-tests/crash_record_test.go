//go:build qemu

package qemutests

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/qemu-tests/blocklog"
	"psyopsOS/vm"
)

// A recording is what one command wrote: the entries of the log, over what the
// disk was before it.
type recording struct {
	Name   string
	Before blocklog.Overlay
	Log    []blocklog.Entry
}

// Recordings are those of one disk, as it was before all of them.
type recordings struct {
	image string
	Made  []recording
	Files [][]byte // what may lie on the EFI system partitions
}

// recorded are the recordings of this run, or those that are kept in the folder
// CRASHTEST_KEEP: whoever changes the judge need not wait for a guest.
func recorded(t *testing.T) recordings {
	t.Helper()
	dir := os.Getenv("CRASHTEST_KEEP")
	if text, err := os.ReadFile(filepath.Join(dir, "recordings")); dir != "" && err == nil {
		all := recordings{image: filepath.Join(dir, "disk.img")}
		if err := gob.NewDecoder(bytes.NewReader(text)).Decode(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil { // not after minutes of recording
			t.Fatal(err)
		}
	}
	r, release, esp := newRecorder(t), tinyRelease(t), tinyESP(t)
	r.records(release, esp, full())
	all := recordings{r.image, r.made, esp.files}
	if dir != "" {
		var text bytes.Buffer
		if err := gob.NewEncoder(&text).Encode(all); err != nil {
			t.Fatal(err)
		}
		run(t, "cp", "--sparse=always", r.image, filepath.Join(dir, "disk.img"))
		if err := os.WriteFile(filepath.Join(dir, "recordings"), text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// A recorder is a machine whose disk's writes are logged.
type recorder struct {
	t     *testing.T
	image string // as it was before the first write
	disk  string // the machine's
	files int
	now   blocklog.Overlay
	log   string // of the machine that runs
	taken int    // of its entries
	made  []recording
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{t: t, image: images(t).Disk, disk: filepath.Join(t.TempDir(), "disk.img"), now: blocklog.Overlay{}}
	run(t, "cp", "--sparse=always", r.image, r.disk)
	return r
}

// during boots the machine on a side, as the boot loader would have, gives it
// to do once it is judged healthy, and powers it off.
func (r *recorder) during(side layout.Label, why, loader string, do func(*Guest)) {
	r.t.Helper()
	all := r.t
	defer func() { r.t = all }()
	// A test of its own, so that the machine's slot is free when it is off.
	all.Run("records as "+why, func(t *testing.T) {
		r.t = t
		r.files++
		r.log, r.taken = filepath.Join(t.TempDir(), fmt.Sprint("writes", r.files)), 0
		if err := os.WriteFile(r.log, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		g := suite.Boot(t, Scenario{Side: side, Words: "psyopsos.boot=" + why + " psyopsos.loader=" + loader + " psyopsos.disk=" + partition(t, r.disk, side).UUID,
			Disks:   []vm.Disk{{ID: "boot", Path: r.disk, WriteLog: r.log}},
			Machine: vm.Machine{NICs: []vm.NIC{{}}}, Deadline: 9 * time.Minute})
		g.HandsOver()
		g.Login()
		g.judged()
		do(g)
		g.PowersOff()
		r.takes("")
	})
	if all.Failed() {
		all.FailNow()
	}
}

// takes is what was written since the last call, under a name.
func (r *recorder) takes(name string) {
	r.t.Helper()
	f, err := os.Open(r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	all, err := blocklog.Read(f)
	if info, e := f.Stat(); e == nil && info.Size() == 0 {
		all, err = nil, nil // QEMU begins the log with the first write
	}
	if err != nil {
		r.t.Fatal(err)
	}
	rec := recording{Name: name, Before: maps.Clone(r.now), Log: all[r.taken:]}
	r.taken = len(all)
	r.now = blocklog.After(r.now, rec.Log)
	r.t.Logf("%-12s %d requests, %d sectors differ from the image after it", name, len(rec.Log), len(r.now))
	if name != "" {
		r.made = append(r.made, rec)
	}
}

const applyNonbooted = "apply nonbooted"

// records drives our program through everything that switches sides and
// replaces the loader, on one disk, and the first psyopsOS's ways beside it.
// The boot in which the second loader follows is recorded if full.
func (r *recorder) records(os1 tiny, esp espTiny, full bool) {
	r.t.Helper()
	old := loaderOn(r.t, r.disk, layout.EFISystem)
	r.during(layout.SideA, "good", old, func(g *Guest) {
		r.takes("")
		g.Runs("neuralupgrade set-default psyopsOS-B")
		r.takes("set-default")
	})
	r.during(layout.SideB, "trial2", old, func(g *Guest) {
		g.Runs("neuralupgrade status | grep -q '^default: *psyopsOS-B'")
		r.takes("commit")
		g.Runs("neuralupgrade apply nonbooted --repository " + os1.address)
		r.takes(applyNonbooted)
		g.Runs("neuralupgrade rollback")
		r.takes("rollback")
		g.Runs("neuralupgrade apply efisys --repository " + esp.address)
		r.takes("apply efisys")
		if !full {
			r.switchesAsOfOld(g)
		}
	})
	if full {
		r.during(layout.SideB, "good", esp.version, func(g *Guest) {
			r.takes("second loader")
			r.switchesAsOfOld(g)
		})
		if got := loaderOn(r.t, r.disk, layout.EFISystem2); got != esp.version {
			r.t.Errorf("the second loader is %s, want %s", got, esp.version)
		}
	}
	r.isWhole()
}

// isWhole compares what was recorded with what is on the disk: a write that
// was missed would make every state behind it another one.
func (r *recorder) isWhole() {
	r.t.Helper()
	image, err := os.Open(r.image)
	if err != nil {
		r.t.Fatal(err)
	}
	defer image.Close()
	disk, err := os.Open(r.disk)
	if err != nil {
		r.t.Fatal(err)
	}
	defer disk.Close()
	replayed := r.now.Over(image, 0)
	want, got := make([]byte, 1<<20), make([]byte, 1<<20)
	for offset := int64(0); ; offset += int64(len(got)) {
		n, err := disk.ReadAt(got, offset)
		if m, e := replayed.ReadAt(want, offset); m != n || e != nil && e != io.EOF || !bytes.Equal(got[:n], want[:n]) {
			r.t.Fatalf("the disk is not what was recorded: at %d of it there is something else", offset)
		}
		if err != nil {
			if err != io.EOF {
				r.t.Fatal(err)
			}
			return
		}
	}
}
