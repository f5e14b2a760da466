//go:build qemu

package qemutests

import (
	"os"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// Issue 4, the matrix: releases that do not come up. Each is signed, and
// applied by neuralupgrade; what follows happens by itself, and ends on side A,
// whose status tells why. Some share a machine, one after the other.

// wholeMatrix is QEMU_MATRIX=all, which `make matrix` says. `make test`, which
// shall end within the hour on two processors, takes the first release of each
// test, and fewer kills.
func wholeMatrix() bool { return os.Getenv("QEMU_MATRIX") == "all" }

// A failing release, and what becomes of it.
type failing struct {
	name   string
	part   part   // nil: nothing is wrong with the release itself
	rot    string // a command in the folder of the written side
	resets string // what the console says before the owner resets the machine
	tries  int
	reason string
}

func (n *node) failsAndFallsBack(t testing.TB, cases ...failing) {
	t.Helper()
	if !wholeMatrix() {
		t.Logf("%d more are left to `make matrix`", len(cases)-1)
		cases = cases[:1]
	}
	n.judged()
	n.from = len(n.VM.Console.Text())
	for _, c := range cases {
		start := time.Now()
		version := n.publishes(c.part)
		n.applies("nonbooted", c.tries)
		if c.rot != "" {
			n.rots("vda4", c.rot)
		}
		n.resets()
		for left := c.tries - 1; left >= 0; left-- {
			n.boots(layout.SideB, bootstate.Trial(left))
			if c.resets != "" {
				n.Says(c.resets)
				n.resets()
			}
		}
		n.boots(layout.SideA, bootstate.Good)
		n.fellBack(layout.SideA, version, c.reason)
		n.counted(c.name, c.tries+1, start)
		n.refuses("neuralupgrade apply nonbooted", "the last trial of release "+version+" failed")
	}
	n.PowersOff()
}

// initWithoutSense ends at once: the kernel panics.
const initWithoutSense = `package main

import "os"

func main() { os.Exit(3) }
`

// initThatHangs never does anything.
const initThatHangs = `package main

import "time"

func main() {
	println("this init hangs")
	for {
		time.Sleep(time.Hour)
	}
}
`

const noReport = "no report: panic, hang or power cut"

func TestAReleaseWithoutAnInitOrASquashfsEndsOnTheOldSide(t *testing.T) {
	newNode(t, "").failsAndFallsBack(t,
		failing{name: "kernel panic", part: initIs(initWithoutSense), tries: 3, reason: noReport + ", 3 tries used"},
		failing{name: "squashfs missing", rot: "rm squashfs", tries: 1, reason: "squashfs"})
}

func TestAReleaseWithRottenOrForeignPartsEndsOnTheOldSide(t *testing.T) {
	newNode(t, "").failsAndFallsBack(t,
		failing{name: "squashfs corrupt", rot: "printf rot | dd of=squashfs bs=1 seek=1000000 conv=notrunc", tries: 1, reason: "is not the file that was signed"},
		// As docs/update.md rehearses it.
		failing{name: "noise for a squashfs", part: noise, tries: 1,
			reason: "invalid argument"},
		failing{name: "another kernel's modloop", part: foreignModloop, tries: 1, reason: "has no modules for the running kernel"},
		// A program that hangs before init has done anything. Nothing in the
		// machine could notice: POWERCUT.md says that without a watchdog that the
		// firmware arms such a hang needs a power cycle. The reset stands for the
		// owner's, or for that watchdog's.
		failing{name: "init hangs", part: initIs(initThatHangs), resets: "this init hangs", tries: 1, reason: noReport + ", 1 tries used"})
}

func TestAReleaseThatIsNotHealthyEndsOnTheOldSide(t *testing.T) {
	check := func(script string) part {
		return root(map[string]string{
			"etc/psyopsOS/health.d/50-database": "#!/bin/sh\n" + script,
			"etc/psyopsOS/neuralupgrade.toml":   "check-limit = \"10s\"\n",
		})
	}
	newNode(t, "").failsAndFallsBack(t,
		failing{name: "a health script fails", part: check("echo the database does not answer\nexit 7\n"), tries: 1,
			reason: "50-database: exit status 7 the database does not answer"},
		failing{name: "a health script hangs", part: check("sleep 100000\n"), tries: 1, reason: "50-database: no answer after 10s"})
}

// noise is a squashfs that is none.
func noise(t testing.TB) []string { return replaced(layout.Squashfs, large(t, 1<<20))(t) }

const serviceThatHangs = `#!/sbin/openrc-run
description="A service that never comes up."
start() { while :; do sleep 9; done; }
`

// Where init or OpenRC hangs, the process that init starts for each trial
// restarts the machine when its time is over. (Only initWithFaults obeys
// psyopsos.fault=.)
func TestAReleaseThatHangsOnItsWayEndsOnTheOldSide(t *testing.T) {
	newNode(t, "psyopsos.deadline=60 psyopsos.fault=copy squashfs:hang").failsAndFallsBack(t,
		failing{name: "init hangs in a step", part: initWithFaults, tries: 1,
			reason: "not committed 1m0s after the kernel's start: init was at the step copy squashfs"},
		failing{name: "the default runlevel is never reached", tries: 1,
			part:   root(map[string]string{"etc/init.d/database": serviceThatHangs}, "database"),
			reason: "not committed 1m0s after the kernel's start: the health service never started"})
}
