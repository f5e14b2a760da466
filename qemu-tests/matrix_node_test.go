//go:build qemu

package qemutests

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/vm"
)

// A node is a machine that has one release after another applied, through OVMF
// and GRUB, with nobody at the keyboard but for the commands that a person
// would type on the running system.
type node struct {
	*Guest
	*publisher
	t    testing.TB
	disk string
	from int // where the console was when the last count of boots began
}

// newNode has a disk of its own with the release of the tests on both sides,
// and is logged in on side A. Its kernels get further words.
func newNode(t *testing.T, words string) *node {
	t.Helper()
	p := newPublisher(t)
	path, _ := ownDisk(t)
	// The owner's settings: what waits for a person waits a second.
	changeMenu(t, path, strings.TrimSpace("panic=1 "+words))
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: onDisk(path), Deadline: 40 * time.Minute,
		// Panics are part of the story.
		Machine: vm.Machine{NICs: []vm.NIC{{}}, Fails: []string{`UEFI Interactive Shell`, `BdsDxe: No bootable option.*`, `grub rescue>`}}})
	n := &node{Guest: g, publisher: p, t: t, disk: path}
	n.boots(layout.SideA, bootstate.Good)
	n.logsIn()
	return n
}

// logsIn waits for the shell of the side that has come up.
func (n *node) logsIn() {
	n.t.Helper()
	n.Login()
	n.Runs("export NEURALUPGRADE_REPOSITORY=" + n.address)
}

// nextBoot is how long a busy machine may take from one boot to the next: a
// boot, the deadline of a trial, and a shutdown.
const nextBoot = 6 * time.Minute

// boots waits for the next boot, as GRUB tells it.
func (n *node) boots(side layout.Label, why bootstate.Why) {
	n.t.Helper()
	ctx, cancel := context.WithTimeoutCause(n.ctx, nextBoot, fmt.Errorf("no other boot within %v", nextBoot))
	defer cancel()
	m, err := n.VM.Console.Expect(ctx, `psyopsOS loader: trying (psyopsOS-[AB]) \((\w+)\)`)
	if err != nil {
		n.t.Fatal(err)
	}
	if m[1] != string(side) || m[2] != string(why) {
		n.t.Fatalf("the loader tries %s (%s), want %s (%s)", m[1], m[2], side, why)
	}
}

// counted tells how many boots there were since the last count, for the named
// case, and wants no more than at most. They are counted on the console: one
// that nobody waited for is counted too.
func (n *node) counted(name string, atMost int, since time.Time) {
	n.t.Helper()
	text := n.VM.Console.Text()
	boots := regexp.MustCompile(`psyopsOS loader: starting psyopsOS-[AB]`).FindAllString(text[n.from:], -1)
	n.from = len(text)
	n.t.Logf("%s: %d boots, %.0f s", name, len(boots), time.Since(since).Seconds())
	if len(boots) > atMost {
		n.t.Errorf("%s: %d boots, want at most %d", name, len(boots), atMost)
	}
}

// applies brings the newest release onto a side, which is then tried so often.
func (n *node) applies(target string, tries int) {
	n.t.Helper()
	command := fmt.Sprintf("neuralupgrade apply %s --tries %d --quiet 2>&1", target, tries)
	if output, code := n.Tries(command); code != 0 || output != "" {
		n.t.Fatalf("%s: exit status %d\n%s", command, code, output)
	}
}

// restarts is what a person types; all that follows comes by itself.
func (n *node) restarts() {
	n.t.Helper()
	n.Restarts("reboot")
}

// resets restarts without any leave-taking, as a power cut does, which saves the
// shutdown's time.
func (n *node) resets() {
	n.t.Helper()
	n.VM.Events.Forget()
	if err := n.VM.Reset(n.ctx); err != nil {
		n.t.Fatal(err)
	}
}

// A standing is what a script reads in `neuralupgrade status --json`.
type standing struct {
	Side   string
	Why    string
	Loader struct {
		Default     string
		Trial       string
		TriesLeft   int `json:"tries_left"`
		Proven      []string
		Floor, Bad  string
		LastFailure json.RawMessage `json:"last_failure"`
	}
}

func (n *node) status() standing {
	n.t.Helper()
	text := n.Runs("neuralupgrade status --json")
	var s standing
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		n.t.Fatalf("status --json: %v\n%s", err, text)
	}
	return s
}

// judged waits until the health service has said its word, and let go of the
// lock.
func (g *Guest) judged() {
	g.t.Helper()
	g.Runs("for i in $(seq 120); do test -e /etc/psyopsOS/status/health && ! pidof neuralupgrade >/dev/null && break; sleep 1; done; test -e /etc/psyopsOS/status/health")
}

// fellBack wants side to have come back after a failed trial of a version, and
// status to tell why.
func (n *node) fellBack(side layout.Label, version, reason string) {
	n.t.Helper()
	n.logsIn()
	n.judged()
	s := n.status()
	if s.Side != string(side) || s.Loader.Default != string(side) || s.Loader.Trial != "" || s.Loader.Bad != version {
		n.t.Errorf("status tells %+v, want side %s to be booted and the default, and %s to be bad", s, side, version)
	}
	if told := string(s.Loader.LastFailure); !strings.Contains(told, version) || !strings.Contains(told, reason) {
		n.t.Errorf("status tells the failure %s, want %s and %q in it", told, version, reason)
	}
	if n.t.Failed() {
		n.t.FailNow()
	}
}

// commits wants side to have been booted, and its release to have become the
// default by itself; floor is the highest version that ever did.
func (n *node) commits(side layout.Label, floor string, proven ...layout.Label) {
	n.t.Helper()
	n.logsIn()
	n.committed(side, floor, proven...)
}

func (n *node) committed(side layout.Label, floor string, proven ...layout.Label) {
	n.t.Helper()
	n.judged()
	s := n.status()
	if s.Side != string(side) || s.Loader.Default != string(side) || s.Loader.Trial != "" || s.Loader.Floor != floor {
		n.t.Errorf("status tells %+v, want side %s to be committed and the floor %s", s, side, floor)
	}
	for _, p := range proven {
		if !slices.Contains(s.Loader.Proven, string(p)) {
			n.t.Errorf("proven are %v, want %s among them", s.Loader.Proven, p)
		}
	}
	if n.t.Failed() {
		n.t.FailNow()
	}
}

// refuses wants a command to fail, and to say why.
func (n *node) refuses(command string, why ...string) {
	n.t.Helper()
	output, code := n.Tries(command + " 2>&1")
	for _, w := range why {
		if code != 1 || !strings.Contains(output, w) {
			n.t.Errorf("%s: exit status %d, want 1 and %q in\n%s", command, code, w, output)
		}
	}
}

// rots changes a file on a side that is not booted, as a sick disk does.
func (n *node) rots(device, command string) {
	n.t.Helper()
	n.Runs(fmt.Sprintf("mount -t ext4 /dev/%s /mnt && cd /mnt && %s && cd / && umount /mnt", device, command))
}
