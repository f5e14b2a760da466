package mounts_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
)

// A bench is a machine on which a hand-over would succeed, and which logs what
// is done to it.
type bench struct {
	sys    *mountstest.Fake
	refuse string // the mount that cannot be moved, for refuseMove
	acts   mounts.Acts
	plan   mounts.HandoverPlan
	did    []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{sys: mountstest.New(), plan: mounts.HandoverPlan{NewRoot: "/newroot", Init: "/sbin/init", Args: []string{"single"}, Env: []string{"TERM=linux"}}}
	for _, target := range []string{"/proc", "/dev", "/run", "/newroot"} {
		if err := b.sys.Mount(mounts.Mount{Source: "x", Target: target, Type: "tmpfs"}); err != nil {
			t.Fatal(err)
		}
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	b.acts = mounts.Acts{
		PID:         func() int { return 1 },
		FSMagic:     func(string) (int64, error) { return mounts.RamfsMagic, nil },
		CheckInit:   func(string, string) error { return nil },
		MakePoint:   func(_, name string) error { return b.log("point", name) },
		OpenConsole: func(string) (*os.File, error) { return os.Open(os.DevNull) },
		SwitchRoot:  func(name string) (*os.File, error) { return null, b.log("SWITCH", name) },
		Empty:       func(*os.File) error { return b.log("EMPTY") },
		Execute: func(_ *os.File, argv, env []string) error {
			_ = b.log("EXEC", argv, env)
			return errReplaced
		},
	}
	return b
}

// errReplaced stands for that execve does not return.
var errReplaced = errors.New("replaced")

func (b *bench) log(what ...any) error {
	b.did = append(b.did, strings.TrimSuffix(fmt.Sprintln(what...), "\n"))
	return nil
}

// moves are the calls that change the mount table after the arrangement.
func (b *bench) moves() (moves []string) {
	for _, call := range b.sys.Calls() {
		if strings.HasPrefix(call, "MoveMount") || strings.HasPrefix(call, "MakePrivate") || strings.HasPrefix(call, "Unmount") {
			moves = append(moves, call)
		}
	}
	return moves
}

func TestHandoverGoesFromMovesToSwitchToEmptyingToExec(t *testing.T) {
	b := newBench(t)
	if err := b.acts.Handover(b.sys, b.plan); !errors.Is(err, errReplaced) {
		t.Fatal(err)
	}
	want := []string{"point /proc", "point /dev", "point /run", "SWITCH /newroot", "EMPTY", "EXEC [/sbin/init single] [TERM=linux]"}
	if !slices.Equal(b.did, want) {
		t.Errorf("got  %q\nwant %q", b.did, want)
	}
	wantMoves := []string{"MoveMount /proc /newroot/proc", "MoveMount /dev /newroot/dev", "MoveMount /run /newroot/run"}
	if got := b.moves(); !slices.Equal(got, wantMoves) {
		t.Errorf("got  %q\nwant %q", got, wantMoves)
	}
}

func TestHandoverRefusesAndTouchesNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*bench)
		want   string
	}{
		{"outside PID 1", func(b *bench) { b.acts.PID = func() int { return 4711 } }, "this is process 4711 and not PID 1"},
		{"on a root that is on a disk", func(b *bench) { b.acts.FSMagic = func(string) (int64, error) { return 0xEF53, nil } }, "type 0xef53"},
		{"when the root cannot be asked", func(b *bench) { b.acts.FSMagic = func(string) (int64, error) { return 0, syscall.EIO } }, "input/output error"},
		{"without an init", func(b *bench) { b.acts.CheckInit = func(string, string) error { return syscall.ENOENT } }, "refused: no such file"},
		{"without a mount table", func(b *bench) { b.sys.Fail["Mounts"] = syscall.EACCES }, "permission denied"},
		{"when the new root is no mount", func(b *bench) { b.plan.NewRoot = "/elsewhere" }, "nothing is mounted at /elsewhere"},
		{"when the new root is the root", func(b *bench) { b.plan.NewRoot = "/" }, "the new root is the old one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			test.change(b)
			if err := b.acts.Handover(b.sys, b.plan); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if len(b.did) > 0 || len(b.moves()) > 0 {
				t.Errorf("it did %q and %q", b.did, b.moves())
			}
		})
	}
}

func TestTheRealHandoverRefusesHere(t *testing.T) {
	b := newBench(t)
	if err := mounts.Handover(b.sys, b.plan); err == nil || !strings.Contains(err.Error(), "not PID 1") {
		t.Errorf("got %v", err)
	}
	if moves := b.moves(); len(moves) > 0 {
		t.Errorf("it did %q", moves)
	}
}

func TestAFailureBeforeTheSwitchMovesBackWhatWasMoved(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*bench)
	}{
		{"a mount point that cannot be made", func(b *bench) {
			b.acts.MakePoint = func(_, name string) error {
				if name == "/run" {
					return syscall.EROFS
				}
				return nil
			}
		}},
		{"no console and no null device", func(b *bench) { b.acts.OpenConsole = func(string) (*os.File, error) { return nil, syscall.ENOENT } }},
		{"a switch that is refused", func(b *bench) { b.acts.SwitchRoot = func(string) (*os.File, error) { return nil, syscall.EINVAL } }},
		{"a second move that is refused", func(b *bench) { b.refuse = "/dev" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			test.change(b)
			before, _ := b.sys.Mounts()
			if err := b.acts.Handover(refuseMove{b.sys, b.refuse}, b.plan); err == nil || errors.Is(err, errReplaced) {
				t.Errorf("got %v", err)
			}
			after, _ := b.sys.Mounts()
			if !reflect.DeepEqual(before, after) {
				t.Errorf("the mounts were  %+v\nand are now       %+v", before, after)
			}
			for _, act := range b.did {
				if strings.ToUpper(act) == act {
					t.Errorf("it did %q", b.did)
				}
			}
		})
	}
}

type refuseMove struct {
	*mountstest.Fake
	from string
}

func (r refuseMove) MoveMount(from, to string) error {
	if from == r.from {
		return syscall.EINVAL
	}
	return r.Fake.MoveMount(from, to)
}

func TestOnLeftMayGoOnWithoutAMount(t *testing.T) {
	b := newBench(t)
	b.acts.MakePoint = func(_, name string) error {
		if name == "/run" {
			return syscall.EROFS
		}
		return nil
	}
	var left []string
	b.plan.OnLeft = func(p mounts.MountPoint, err error) error {
		left = append(left, p.Path)
		if !strings.Contains(err.Error(), "the mount at "+p.Path+" cannot come along") || len(b.did) > 0 {
			t.Errorf("told %v after %q", err, b.did)
		}
		return nil
	}
	if err := b.acts.Handover(refuseMove{b.sys, "/dev"}, b.plan); !errors.Is(err, errReplaced) {
		t.Fatal(err)
	}
	if want := []string{"/run", "/dev"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	if want := []string{"MoveMount /proc /newroot/proc"}; !slices.Equal(b.moves(), want) {
		t.Errorf("moved %q, want %q", b.moves(), want)
	}
}

func TestAMissingConsoleIsReplacedByTheNullDevice(t *testing.T) {
	b := newBench(t)
	var asked []string
	b.acts.OpenConsole = func(name string) (*os.File, error) {
		asked = append(asked, name)
		if name == "/dev/null" {
			return os.Open(os.DevNull)
		}
		return nil, syscall.ENODEV
	}
	if err := b.acts.Handover(b.sys, b.plan); !errors.Is(err, errReplaced) {
		t.Fatal(err)
	}
	b = newBench(t)
	b.plan.Console = "/dev/ttyS0"
	b.acts.OpenConsole = func(name string) (*os.File, error) {
		asked = append(asked, name)
		return os.Open(os.DevNull)
	}
	if err := b.acts.Handover(b.sys, b.plan); !errors.Is(err, errReplaced) {
		t.Fatal(err)
	}
	if want := []string{"/dev/console", "/dev/null", "/dev/ttyS0"}; !slices.Equal(asked, want) {
		t.Errorf("opened %q, want %q", asked, want)
	}
}

func TestFilesOfTheInitramfsThatAreBoundElsewhereAreNotDeleted(t *testing.T) {
	b := newBench(t)
	if err := b.acts.Handover(boundRoot{b.sys}, b.plan); !errors.Is(err, errReplaced) {
		t.Fatal(err)
	}
	if slices.Contains(b.did, "EMPTY") || !slices.Contains(b.did, "SWITCH /newroot") {
		t.Errorf("it did %q", b.did)
	}
}

// boundRoot has the initramfs's keys bound into the new root, and shared mounts.
type boundRoot struct{ *mountstest.Fake }

func (b boundRoot) Mounts() ([]mounts.MountPoint, error) {
	points, err := b.Fake.Mounts()
	bound := mounts.MountPoint{ID: 99, Parent: points[len(points)-1].ID, Device: points[0].Device, Root: "/etc/keys", Path: "/newroot/keys", Type: "rootfs", Shared: true}
	return append(points, bound), err
}

func TestPropagationEndsBeforeSharedMountsAreMoved(t *testing.T) {
	b := newBench(t)
	if err := b.acts.Handover(boundRoot{b.sys}, b.plan); !errors.Is(err, errReplaced) {
		t.Fatal(err)
	}
	if got := b.moves(); len(got) == 0 || got[0] != "MakePrivate /" {
		t.Errorf("got %q", got)
	}
}

func TestLastWordsAreSaidBeforeAnythingIsMoved(t *testing.T) {
	b := newBench(t)
	var movedBefore []string
	b.plan.LastWords = func() error {
		time.Sleep(20 * time.Millisecond) // the preparations are done long before
		movedBefore = b.moves()
		return nil
	}
	if err := b.acts.Handover(b.sys, b.plan); !errors.Is(err, errReplaced) || len(movedBefore) > 0 {
		t.Errorf("%v; moved before the last words: %q", err, movedBefore)
	}
	for name, words := range map[string]func() error{
		"an error": func() error { return syscall.ENOSPC },
		"a panic":  func() error { panic(syscall.ENOSPC) },
	} {
		b := newBench(t)
		b.plan.LastWords = words
		err := b.acts.Handover(b.sys, b.plan)
		if err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) || len(b.moves()) > 0 {
			t.Errorf("%s: got %v, moved %q", name, err, b.moves())
		}
	}
}
