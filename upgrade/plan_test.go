package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
)

var someTime = time.Unix(1_795_000_000, 0).UTC()

// committedNode runs release v1 from side A, which is committed; B holds it
// too.
func committedNode(t testing.TB) State {
	t.Helper()
	info := release.Info{Kind: release.OS, Version: v1, Architecture: "x86_64"}
	side := func(label layout.Label, n int) Side {
		return Side{Volume: Volume{Label: string(label), MountPoint: mountOf(label),
			Device: mounts.Device{Name: fmt.Sprint("vda", n), Disk: "vda", DiskUUID: "disk"}}, Info: info, Room: 1 << 30}
	}
	s := State{Booted: layout.SideA, BootedVersion: v1, BootedDisk: "vda", Why: bootstate.Good,
		A: side(layout.SideA, 3), B: side(layout.SideB, 4),
		Firmware: Firmware{Volume: Volume{Label: "PSYOPSOSEFI", Device: mounts.Device{Name: "vda1", Disk: "vda", DiskUUID: "disk"}}}}
	state, tries := bootstate.Initial(v1, someTime)
	s.Loader = loaderOf(t, state, state, tries)
	return s
}

func loaderOf(t testing.TB, copy1, copy2 bootstate.State, tries bootstate.Tries) Loader {
	t.Helper()
	one, err1 := copy1.Render()
	two, err2 := copy2.Render()
	counts, err3 := tries.Render()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	l := Loader{First: "/dev/vda1", Second: "/dev/vda5", Copies: bootstate.Copies{State1: one, State2: two, Tries: counts, State2On: 5}, Tries: tries}
	l.State, l.Picked = bootstate.Pick(one, two)
	l.Same = string(one) == string(two)
	return l
}

func request() Request {
	return Request{Target: "nonbooted", Release: release.Info{Kind: release.OS, Version: v2, Architecture: "x86_64", Size: 1 << 20},
		Source: "/repo/tar", Architecture: "x86_64", Now: someTime}
}

func TestTheRefusalsOfAPlan(t *testing.T) {
	change := func(s *State, f func(*bootstate.State, *bootstate.Tries)) {
		state, tries := s.Loader.State, s.Loader.Tries
		f(&state, &tries)
		s.Loader = loaderOf(t, state, state, tries)
	}
	for _, test := range []struct {
		name string
		node func(*State)
		ask  func(*Request)
		want string // of the refusal; empty: none
	}{
		{"a newer release on the other side", nil, nil, ""},
		{"the other side by its letter", nil, func(r *Request) { r.Target = "b" }, ""},
		{"the booted side, which what runs needs", nil, func(r *Request) { r.Target = "a" }, "it was not copied to RAM"},
		{"the booted side, by its other word", nil, func(r *Request) { r.Target = "booted" }, "it was not copied to RAM"},
		{"the booted side, the other one not proven", func(s *State) { s.InRAM = true; s.B.Info.Version = v2 }, func(r *Request) { r.Target = "a" }, "psyopsOS-B is not proven"},
		{"the booted side, the other one damaged", func(s *State) { s.InRAM = true; s.B.Damaged = "kernel" }, func(r *Request) { r.Target = "a" }, "psyopsOS-B is not proven"},
		{"the booted side, the other one's release bad", func(s *State) {
			s.InRAM = true
			change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Bad = v1 })
		}, func(r *Request) { r.Target = "a" }, "psyopsOS-B is not proven"},
		{"the booted side behind the boot loader's back", func(s *State) { s.InRAM = true }, func(r *Request) { r.Target, r.NoBootCfg = "a", true }, "without a word to the boot loader"},
		{"a boot that nobody has judged", func(s *State) { s.Unjudged = true }, nil, "the health checks have not judged this boot yet"},
		{"an unhealthy boot", func(s *State) { s.Unhealthy = "sshd: exit status 1" }, nil, "this boot is not healthy: sshd: exit status 1"},
		{"an unknown target", nil, func(r *Request) { r.Target = "c" }, `no target "c"`},
		{"the ESP as an OS side", nil, func(r *Request) { r.Target = "efisys" }, `no target "efisys"`},
		{"nobody knows what is booted", func(s *State) { s.Booted = "" }, nil, "which side is nonbooted?"},
		{"the booted disk was pulled out", func(s *State) { s.BootedMissing = true }, nil, "the disk that was booted is not there"},
		{"the side is on another disk", func(s *State) { s.B.Device.Disk = "vdb" }, nil, "is on vdb, but vda was booted"},
		{"two disks with the label", func(s *State) { s.B.Duplicates = []string{"/dev/vdb4"} }, nil, "on /dev/vda4 and on /dev/vdb4"},
		{"two disks with the ESP's label", func(s *State) { s.Firmware.Duplicates = []string{"/dev/vdb1"} }, nil, "on /dev/vda1 and on /dev/vdb1"},
		{"the side is mounted", func(s *State) { s.B.Users = []string{"mounted at /x"} }, nil, "in use: mounted at /x"},
		{"the side cannot be read", func(s *State) { s.B.Err = errors.New("input/output error") }, nil, "input/output error"},
		{"the booted side has another release on the disk", func(s *State) { s.A.Info.Version = v3 }, nil, "is this another disk?"},
		{"an ESP release", nil, func(r *Request) { r.Release.Kind = release.ESP }, "type psyopsESP does not go on a side"},
		{"another architecture", nil, func(r *Request) { r.Release.Architecture = "aarch64" }, "for aarch64, this machine is x86_64"},
		{"older than the floor", func(s *State) { change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Floor = v3 }) }, nil, "older than " + v3 + ", which was committed here"},
		{"older than the floor, allowed", func(s *State) { change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Floor = v3 }) }, func(r *Request) { r.AllowDowngrade = true }, ""},
		{"the bad version", func(s *State) { change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Bad = v2 }) }, nil, "the last trial of release " + v2 + " failed"},
		{"the bad version with its reason", func(s *State) {
			change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Bad = v2 })
			s.Loader.Fail = bootstate.Fail{Version: v2, Stage: "copy squashfs", Reason: "too short"}
		}, nil, "failed: copy squashfs: too short"},
		{"the bad version, forced", func(s *State) { change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Bad = v2 }) }, func(r *Request) { r.Force = true }, ""},
		{"too large", nil, func(r *Request) { r.Release.Size = 2 << 30 }, "has room for 1.00 GiB"},
		{"no valid state", func(s *State) { s.Loader = Loader{Missing: errors.New("no state")} }, nil, "no state"},
		{"no valid state, which is not to be written", func(s *State) { s.Loader = Loader{Missing: errors.New("no state")} }, func(r *Request) { r.NoBootCfg = true }, "no state"},
		{"a disk of the first psyopsOS", func(s *State) {
			s.Loader = Loader{Legacy: &LegacyMenu{DefaultLabel: layout.SideA}, Missing: errors.New("first psyopsOS")}
		}, nil, "first psyopsOS"},
		{"a disk of the first psyopsOS, its loader left alone", func(s *State) { s.Loader = Loader{Legacy: &LegacyMenu{DefaultLabel: layout.SideA}} }, func(r *Request) { r.NoBootCfg = true }, ""},
		{"the ESP is mounted read-write", func(s *State) { s.Firmware.Users = []string{"mounted read-write at /x"} }, nil, "mounted read-write at /x"},
		{"the running side is on trial", func(s *State) {
			change(s, func(b *bootstate.State, t *bootstate.Tries) { b.Good, b.Try, b.Alt = layout.SideB, layout.SideA, "" })
		}, nil, "psyopsOS-A is on trial, undecided"},
		{"the other side is on trial", func(s *State) {
			change(s, func(b *bootstate.State, t *bootstate.Tries) { b.Try, b.Alt, t.Left, t.For = layout.SideB, "", 3, b.Seq })
		}, nil, "psyopsOS-B is on trial, undecided"},
		{"the other side is the committed one", func(s *State) {
			change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Good, b.Alt = layout.SideB, layout.SideA })
		}, nil, "psyopsOS-B is the committed side: it may be the only good one"},
		{"the copies differ", func(s *State) {
			old := s.Loader.State
			old.Seq++
			s.Loader = loaderOf(t, s.Loader.State, old, s.Loader.Tries)
		}, nil, "the two copies of the boot loader's state differ"},
		{"a default that is neither side", nil, func(r *Request) { r.DefaultLabel = "psyopsOS-C" }, `--default-boot-label "psyopsOS-C"`},
		{"the state has changed too often", func(s *State) {
			change(s, func(b *bootstate.State, _ *bootstate.Tries) { b.Seq = bootstate.MaxSeq })
		}, nil, "it cannot count further"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, r := committedNode(t), request()
			if test.node != nil {
				test.node(&s)
			}
			if test.ask != nil {
				test.ask(&r)
			}
			before, _ := json.Marshal(fmt.Sprintf("%+v", s))
			p, err := NewPlan(s, r)
			if test.want == "" {
				if err != nil || p.Side.Label != "psyopsOS-B" || p.Current {
					t.Errorf("got %+v, %v", p, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			} else if !reflect.DeepEqual(p, Plan{}) {
				t.Errorf("a refusal came with a plan: %+v", p)
			}
			if after, _ := json.Marshal(fmt.Sprintf("%+v", s)); string(after) != string(before) {
				t.Error("planning changed the photograph")
			}
		})
	}
}

func TestAPlanIsReadable(t *testing.T) {
	p, err := NewPlan(committedNode(t), request())
	if err != nil {
		t.Fatal(err)
	}
	want := "let nothing fall back to psyopsOS-B\n    write grub/STATE1.ENV on /dev/vda1\n    write grub/STATE2.ENV on /dev/vda5\n" +
		"write psyopsOS-B (/dev/vda4 at /mnt/psyopsOS/b)\n    from version " + v1 + "\n    to version " + v2 + ", 1.0 MiB, from /repo/tar\n" +
		"put psyopsOS-B on trial: up to 3 boots, then psyopsOS-A again unless it is committed\n" +
		"    write grub/TRIES.ENV on /dev/vda1\n    write grub/STATE1.ENV on /dev/vda1\n    write grub/STATE2.ENV on /dev/vda5\n"
	if p.String() != want {
		t.Errorf("got\n%swant\n%s", p, want)
	}
}

// A cut after any write of any change, also in the sector that is being
// written: GRUB's choice is the one before or the one after, and in between
// never a side that is not whole.
func TestACutBetweenAnyTwoWritesOfAChange(t *testing.T) {
	states := map[string]func(*State){
		"apply":  func(s *State) {},
		"commit": func(s *State) { runningTrial(t, s) },
		"reject": func(s *State) {
			runningTrial(t, s)
			s.Booted, s.Why = layout.SideA, bootstate.Good
			s.Loader.Tries.Left = 0
		},
	}
	changes := map[string]func(State) ([]StateWrite, error){
		"apply": func(s State) ([]StateWrite, error) { p, err := NewPlan(s, request()); return p.Writes, err },
		"commit": func(s State) ([]StateWrite, error) {
			c, err := NewCommit(s, someTime)
			return c.Writes, err
		},
		"reject": func(s State) ([]StateWrite, error) { c, err := NewRollback(s, false, someTime); return c.Writes, err },
	}
	whole := func(layout.Label) bool { return true }
	for name, prepare := range states {
		for picked := 1; picked <= 2; picked++ { // the other copy is older, or damaged, or equal
			for _, other := range []string{"equal", "older", "garbage"} {
				s := committedNode(t)
				prepare(&s)
				if other != "equal" && name == "apply" {
					continue // refused: it has to be finished first
				}
				weaken(t, &s.Loader, picked, other)
				writes, err := changes[name](s)
				if err != nil || len(writes) < 2 {
					t.Fatalf("%s, %s: %d writes, %v", name, other, len(writes), err)
				}
				disk := s.Loader.Copies
				before := bootstate.Next(disk.State1, disk.State2, disk.Tries, whole).Boot
				final := disk
				for _, w := range writes {
					put(&final, w.Path, w.Content)
				}
				after := bootstate.Next(final.State1, final.State2, final.Tries, whole).Boot
				for i, w := range writes {
					for _, lost := range [][]byte{nil, make([]byte, 512), []byte(strings.Repeat("?", 512))} {
						cut := disk
						put(&cut, w.Path, lost)
						got := bootstate.Next(cut.State1, cut.State2, cut.Tries, whole).Boot
						if got.Side != before.Side && got.Side != after.Side || got.Why == bootstate.LastResort {
							t.Errorf("%s, copy 2 %s: a cut in write %d (%s): GRUB boots %+v; before %+v, after %+v", name, other, i, w.Path, got, before, after)
						}
					}
					put(&disk, w.Path, w.Content)
				}
			}
		}
	}
}

// The booted side is overwritten only after the other one has its place, so
// that a cut at any write, also while the side is half written, boots a whole
// side that was committed.
func TestACutWhileTheBootedSideIsWritten(t *testing.T) {
	s := committedNode(t)
	s.InRAM = true
	r := request()
	r.Target = "booted"
	p, err := NewPlan(s, r)
	if err != nil || len(p.Before) != 2 || len(p.Writes) != 3 {
		t.Fatalf("got %+v, %v", p, err)
	}
	disk := s.Loader.Copies
	cut := func(writes []StateWrite, whole func(layout.Label) bool, ok func(bootstate.Boot) bool) {
		for i, w := range writes {
			for _, lost := range [][]byte{nil, make([]byte, 512), []byte(strings.Repeat("?", 512))} {
				after := disk
				put(&after, w.Path, lost)
				if got := bootstate.Next(after.State1, after.State2, after.Tries, whole).Boot; !ok(got) {
					t.Errorf("a cut in write %d (%s): GRUB boots %+v", i, w.Path, got)
				}
			}
			put(&disk, w.Path, w.Content)
		}
	}
	both := func(layout.Label) bool { return true }
	onlyB := func(side layout.Label) bool { return side == layout.SideB }
	good := func(b bootstate.Boot) bool { return b.Why == bootstate.Good }
	cut(p.Before, both, good)
	if got := bootstate.Next(disk.State1, disk.State2, disk.Tries, onlyB).Boot; got != (bootstate.Boot{Side: layout.SideB, Why: bootstate.Good}) {
		t.Errorf("half written: GRUB boots %+v", got)
	}
	cut(p.Writes, both, func(b bootstate.Boot) bool {
		return b.Side == layout.SideB && b.Why == bootstate.Good || b.Side == layout.SideA && b.Why == bootstate.Trial(2)
	})
	if got := bootstate.Next(disk.State1, disk.State2, disk.Tries, both).Boot; got != (bootstate.Boot{Side: layout.SideA, Why: bootstate.Trial(2)}) {
		t.Errorf("done: GRUB boots %+v", got)
	}
	has(t, p.String(), "make psyopsOS-B the default\n", "up to 3 boots, then psyopsOS-B again")
}

// runningTrial is the node while it runs release v2 on trial from B.
func runningTrial(t testing.TB, s *State) {
	state, tries := trialOf(s.Loader.State, s.Loader.Tries, "", someTime)
	tries.Left = 2
	s.Loader = loaderOf(t, state, state, tries)
	s.Booted, s.BootedVersion, s.Why = layout.SideB, v2, bootstate.Trial(2)
	s.B.Info.Version = v2
}

// weaken makes one copy count and the other not.
func weaken(t testing.TB, l *Loader, picked int, how string) {
	t.Helper()
	good := l.Copies.State1
	weak := good
	switch how {
	case "older":
		old := l.State
		old.Seq--
		if old.Seq < 1 {
			t.Fatal("no older state")
		}
		var err error
		if weak, err = old.Render(); err != nil {
			t.Fatal(err)
		}
	case "garbage":
		weak = make([]byte, 512)
	}
	l.Copies.State1, l.Copies.State2 = good, weak
	if picked == 2 {
		l.Copies.State1, l.Copies.State2 = weak, good
	}
	l.State, l.Picked = bootstate.Pick(l.Copies.State1, l.Copies.State2)
	l.Same = string(l.Copies.State1) == string(l.Copies.State2)
}

func put(c *bootstate.Copies, path string, content []byte) {
	switch path {
	case layout.State1:
		c.State1 = content
	case layout.State2:
		c.State2 = content
	case layout.Tries:
		c.Tries = content
	}
}

func TestStatusTellsWhatTheLoaderWillDo(t *testing.T) {
	w := newWorld(t)
	out, _ := w.must(0, "status")
	has(t, out, "booted:    psyopsOS-A\n", "default:   psyopsOS-A\nproven:    psyopsOS-A psyopsOS-B\nfloor:     "+v1+"\n")
	w.publish(makeBundle(t, v2))
	w.applies()
	out, _ = w.must(0, "status")
	has(t, out, "trial:     psyopsOS-B, 3 tries left\nproven:    psyopsOS-A\n")
	out, _ = w.must(0, "status", "--json")
	var got struct {
		Side   string
		Loader struct {
			Default, Trial string
			TriesLeft      int `json:"tries_left"`
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Side != "psyopsOS-A" || got.Loader.Trial != "psyopsOS-B" || got.Loader.TriesLeft != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left = 0 })
	w.must(0, "commit")
	out, _ = w.must(0, "status")
	has(t, out, "failed:    release "+v2+": no report: panic, hang or power cut, 3 tries used\n")
	w.fake.Unplug("vda")
	out, _ = w.must(0, "status")
	has(t, out, "loader:    the disk that was booted is not there\n")
}
