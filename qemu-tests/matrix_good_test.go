//go:build qemu

package qemutests

import (
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// waitsForAWord keeps a trial undecided until somebody says the word.
const waitsForAWord = "#!/bin/sh\nuntil test -e /tmp/decided; do sleep 1; done\n"

// initThatComesToCrash is the real one until a day on which the kernel panics:
// a release that was good when it was committed.
const initThatComesToCrash = `package main

import (
	"os"
	"syscall"
	"time"
)

func main() {
	if time.Now().Year() >= 2035 {
		os.Exit(3)
	}
	panic(syscall.Exec("/init.real", []string{"/init"}, nil))
}
`

// Issues 4 and 5: the good path, first from a bucket, then from a server on the
// network, through GRUB's trials, A → B → A → B, and back.
func TestReleasesComeAndGo(t *testing.T) {
	n := newNode(t, "")
	n.judged()
	lap := n.laps()

	first := n.publishes(root(map[string]string{"etc/psyopsOS/health.d/50-word": waitsForAWord}))
	bucket, hosts := pushed(t, n.dir)
	n.Runs("echo '" + hosts + "' >>/etc/hosts; export NEURALUPGRADE_REPOSITORY=" + bucket)
	if output, code := n.Tries("neuralupgrade check --target nonbooted"); code != 10 || !strings.Contains(output, "not version "+first) {
		t.Errorf("check: exit status %d\n%s", code, output)
	}
	output := n.Runs("neuralupgrade apply nonbooted 2>&1")
	if !strings.Contains(output, "neuralupgrade INFO Updated nonbooted side psyopsOS-B with "+bucket) {
		t.Errorf("apply does not say what it did:\n%s", output)
	}
	n.Prints("grep -c /dev/vda /proc/mounts || true", "0")
	n.Runs("neuralupgrade show | grep -q 'nextboot_label: psyopsOS-B'")
	n.refuses("neuralupgrade apply b --force", "psyopsOS-B is on trial, undecided")
	n.restarts()
	n.boots(layout.SideB, bootstate.Trial(2))
	n.logsIn()
	n.refuses("neuralupgrade apply nonbooted", "psyopsOS-B is on trial, undecided", "hint: `neuralupgrade commit` keeps it")
	if s := n.status(); s.Side != "psyopsOS-B" || s.Why != "trial2" || s.Loader.Default != "psyopsOS-A" || s.Loader.Trial != "psyopsOS-B" || s.Loader.TriesLeft != 2 {
		t.Errorf("status of a trial tells %+v", s)
	}
	n.Runs("touch /tmp/decided")
	n.committed(layout.SideB, first)
	if said := n.Runs("neuralupgrade commit"); !strings.Contains(said, "nothing to commit: psyopsOS-B is the default") {
		t.Errorf("the second commit says %q", said)
	}
	lap("A → B, with a word", 1)

	second := n.publishes()
	n.applies("nonbooted", 1)
	n.resets()
	n.boots(layout.SideA, bootstate.Trial(0))
	n.commits(layout.SideA, second, layout.SideB)
	lap("B → A", 1)

	third := n.publishes(root(map[string]string{"etc/motd": "the third\n"}))
	n.applies("nonbooted", 1)
	n.resets()
	n.boots(layout.SideB, bootstate.Trial(0))
	n.commits(layout.SideB, third, layout.SideA)
	lap("A → B", 1)

	if said := n.Runs("neuralupgrade rollback"); !strings.Contains(said, "psyopsOS-A, release "+second+", goes on trial") {
		t.Errorf("rollback says %q", said)
	}
	n.restarts()
	n.boots(layout.SideA, bootstate.Trial(2))
	n.commits(layout.SideA, third, layout.SideB) // whose floor stays
	lap("rollback", 1)

	n.refuses("neuralupgrade apply nonbooted --os-version "+first, "release "+first+" is older than "+third)
	n.PowersOff()
	n.disksAgree(bootstate.State{Good: layout.SideA, Alt: layout.SideB, A: second, B: third, Floor: third})
}

// Issue 4: onto the booted side; then a release that starts to crash after it
// was committed, and how its owner gets away from it.
func TestACommittedReleaseThatComesToCrashEndsOnTheProvenSide(t *testing.T) {
	n := newNode(t, "")
	n.judged()
	lap := n.laps()

	next := n.publishes(root(map[string]string{"etc/motd": "the fourth\n"}))
	n.applies("booted", 1)
	if s := n.status(); s.Loader.Default != "psyopsOS-B" || s.Loader.Trial != "psyopsOS-A" {
		t.Errorf("with the booted side on trial, status tells %+v", s)
	}
	n.resets()
	n.boots(layout.SideA, bootstate.Trial(0))
	n.commits(layout.SideA, next, layout.SideB)
	lap("onto the booted side", 1)

	crashing := n.publishes(root(map[string]string{"etc/motd": "the fifth\n"}), initIs(initThatComesToCrash))
	n.applies("nonbooted", 1)
	n.resets()
	n.boots(layout.SideB, bootstate.Trial(0))
	n.commits(layout.SideB, crashing, layout.SideA)
	n.Runs("date -s '2035-01-01 00:00:00' && hwclock -u -w")
	n.restarts()
	n.boots(layout.SideB, bootstate.Good)
	n.boots(layout.SideB, bootstate.Good)
	n.boots(layout.SideB, bootstate.Good)
	n.boots(layout.SideA, bootstate.Fallback)
	n.logsIn()
	n.judged()
	s := n.status()
	if s.Side != "psyopsOS-A" || s.Why != "fallback" || s.Loader.Default != "psyopsOS-B" {
		t.Errorf("after the fallback status tells %+v", s)
	}
	if told := string(s.Loader.LastFailure); !strings.Contains(told, crashing) || !strings.Contains(told, "no report: panic, hang or power cut") {
		t.Errorf("after the fallback status tells the failure %s", told)
	}
	lap("a committed release that starts to crash", 5)

	// What its owner does then, from afar.
	n.refuses("neuralupgrade apply nonbooted", "psyopsOS-A is booted, but psyopsOS-B is the committed side", "neuralupgrade rollback")
	n.Runs("neuralupgrade rollback")
	n.resets()
	n.boots(layout.SideA, bootstate.Trial(2))
	n.commits(layout.SideA, crashing)
	repaired := n.publishes(root(map[string]string{"etc/motd": "the sixth\n"}))
	n.applies("nonbooted", 1)
	n.resets()
	n.boots(layout.SideB, bootstate.Trial(0))
	n.commits(layout.SideB, repaired, layout.SideA)
	lap("and its repair", 2)
	n.PowersOff()
	n.disksAgree(bootstate.State{Good: layout.SideB, Alt: layout.SideA, A: next, B: repaired, Floor: repaired})
}

// laps gives a function that tells of each part of the story how many boots it
// took.
func (n *node) laps() func(name string, boots int) {
	start := time.Now()
	n.from = len(n.VM.Console.Text())
	return func(name string, boots int) {
		n.t.Helper()
		n.counted(name, boots, start)
		start = time.Now()
	}
}

// disksAgree wants both copies of the state to say the same, apart from how
// often it has changed, and when.
func (n *node) disksAgree(want bootstate.State) {
	n.t.Helper()
	copies := loaderFiles(n.t, n.disk)
	if string(copies.State1) != string(copies.State2) {
		n.t.Error("the two copies differ")
	}
	got, _ := bootstate.Pick(copies.State1, copies.State2)
	got.Seq, got.Time = 0, want.Time
	if got != want {
		n.t.Errorf("the disk says %+v, want %+v", got, want)
	}
}
