//go:build qemu

package qemutests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// kills is how often an apply is killed.
func kills() int {
	if wholeMatrix() {
		return 20
	}
	return 8
}

// emptied is a function that takes all files from side B.
const emptied = `emptied() { umount /mnt/psyopsOS/b 2>/dev/null; mount -t ext4 /dev/vda4 /mnt && rm -rf /mnt/* && umount /mnt; }
`

// timedApply is an undisturbed apply onto an empty side. It is the second one:
// the first, which finds nothing in the caches, takes longer than those that are
// killed, and half of the kills came when there was nobody left.
const timedApply = emptied + `apply() { neuralupgrade apply nonbooted --force --quiet >/dev/null 2>&1; }
apply; neuralupgrade rollback >/dev/null; emptied
read a x </proc/uptime; apply; read b x </proc/uptime
neuralupgrade rollback >/dev/null; echo $a $b`

// killedApplies runs so many applies, each of which is killed after its time,
// and tells of each: when, its exit status, the step in which it was, and what
// the side and the boot loader's state have come to. A side that passes for a
// release is whole if all its files are those of its manifest. It is then emptied,
// for else there would be nothing left to write. A trial that was begun is given
// up, so that the next one may begin.
const killedApplies = emptied + `whole() (
at=$(sed -n 's,^/dev/vda4 \([^ ]*\) .*,\1,p' /proc/mounts | head -n 1)
[ "$at" ] || { at=/mnt; mount -t ext4 -o ro /dev/vda4 /mnt; }
cd $at && test -s manifest.json && tr '{' '\n' <manifest.json |
sed -n 's/"path":"\([^"]*\)".*"sha256":"\([^"]*\)".*/\2  \1/p' | sha256sum -cs; code=$?
cd /; umount /mnt 2>/dev/null; exit $code
)
side=incomplete
for at in %s; do
[ $side = incomplete ] || emptied
neuralupgrade apply nonbooted --force >/tmp/applied 2>&1 & p=$!
sleep $at; kill -9 $p 2>/dev/null; wait $p; code=$?
side=incomplete; neuralupgrade show | sed -n '/^    b:/,/^    firmware:/p' | grep -q incomplete || { whole && side=whole || side=torn; }
trial=none; neuralupgrade status | grep -q '^trial:' && trial=begun
echo "KILLED $at $code $side $trial: $(grep -v '%%' /tmp/applied | tail -n 1)"
neuralupgrade commit >/dev/null 2>&1
[ $trial = none ] || neuralupgrade rollback
done`

// Issue 4: kill -9 at 20 points of an apply (8 in `make test`); then the machine boots, and
// another run completes. The points are random, one in each part of the
// time that an apply takes; PSYOPSOS_TEST_SEED repeats those of another run.
func TestAnApplyThatIsKilledAgainAndAgainIsFinishedAfterTheNextBoot(t *testing.T) {
	n := newNode(t, "")
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PSYOPSOS_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PSYOPSOS_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	n.judged()

	// A release whose parts are not on the side yet, and how long an apply takes.
	n.publishes()
	took := n.Runs(timedApply)
	var begin, end float64
	if _, err := fmt.Sscan(took, &begin, &end); err != nil {
		t.Fatalf("%v in %q", err, took)
	}
	version := n.publishes(root(map[string]string{"etc/motd": "another release\n"}), initIs(initThatComesToCrash))
	var points []string
	kills := kills()
	for i := range kills {
		points = append(points, fmt.Sprintf("%.2f", (float64(i)+random.Float64())/float64(kills)*(end-begin)))
	}
	random.Shuffle(kills, func(i, j int) { points[i], points[j] = points[j], points[i] })

	story := n.Runs(fmt.Sprintf(killedApplies, strings.Join(points, " ")))
	t.Logf("an apply takes %.1f s; killed after:\n%s", end-begin, story)
	killed, incomplete := 0, 0
	for line := range strings.Lines(story) {
		f := strings.Fields(line)
		if len(f) < 5 || f[0] != "KILLED" {
			continue
		}
		if f[2] == "137" {
			killed++
		}
		switch f[3] {
		case "torn":
			t.Errorf("a side passes for a release whose files are not those of its manifest: %s", line)
		case "incomplete":
			incomplete++
			if strings.HasPrefix(f[4], "begun") {
				t.Errorf("a side that is not whole is on trial: %s", line)
			}
		}
	}
	if killed < kills/2 || incomplete == 0 {
		t.Errorf("%d of %d kills found a process, %d of them one that wrote the side: the times are wrong", killed, kills, incomplete)
	}

	// And now without any leave-taking, as by a power cut.
	n.from = len(n.VM.Console.Text())
	n.resets()
	n.boots(layout.SideA, bootstate.Good)
	n.logsIn()
	n.judged()
	n.applies("nonbooted", 1)
	n.resets()
	n.boots(layout.SideB, bootstate.Trial(0))
	n.commits(layout.SideB, version, layout.SideA)
	n.PowersOff()
}
