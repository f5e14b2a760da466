//go:build qemu

package qemutests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"psyopsOS/deaddrop/s3test"
	"psyopsOS/vm"
)

// Issue 5: from nothing to three nodes that update from a bucket. docs/publish.md
// is typed from its beginning to its end, with tk itself, real builds, a real S3
// server that has the page's policy, and three machines that boot, by UEFI and
// GRUB, from the disks that the page has written. One updates itself, two are
// updated over ssh.
func TestThePageAboutPublishingIsTrue(t *testing.T) {
	t.Parallel()
	images(t) // so that what is shared of the build is there
	text, err := os.ReadFile("../docs/publish.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	r := newReader(t)
	policies := blocksOf(page, "json")
	if len(policies) != 1 {
		t.Fatalf("the page has %d policies", len(policies))
	}
	r.gateway.Put(t, "policy", policies[0])
	typed := map[string]int{}
	for _, block := range blocksOf(page, "console") {
		for _, c := range commandsOf(block) {
			typed[c.at]++
			if c.at == "" {
				r.types(c)
			} else {
				r.typesAt(c)
			}
		}
	}
	for name, n := range r.nodes {
		if said := n.VM.Console.Text(); !strings.Contains(said, "starting psyopsOS-B") {
			t.Errorf("%s never started the second release", name)
		}
	}
	if len(r.nodes) != 3 || typed["node1"] < 5 {
		t.Errorf("the page has %d nodes and types %v", len(r.nodes), typed)
	}
}

func blocksOf(page, kind string) (blocks []string) {
	for _, found := range regexp.MustCompile("(?s)\n```"+kind+"\n(.*?)\n```\n").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// A typed command, where it is typed (a node, or here), and what must come back:
// … stands for anything, alone for any lines.
type typedCommand struct{ at, typed, said string }

func commandsOf(block string) (commands []typedCommand) {
	prompt := regexp.MustCompile(`^(?:\$|(\w+)#) (.*)$`)
	for line := range strings.SplitSeq(block, "\n") {
		if m := prompt.FindStringSubmatch(line); m != nil {
			commands = append(commands, typedCommand{at: m[1], typed: m[2]})
		} else if n := len(commands); n > 0 {
			commands[n-1].said = strings.TrimPrefix(commands[n-1].said+"\n"+line, "\n")
		}
	}
	return commands
}

func (c typedCommand) matches(output string) bool {
	var pattern strings.Builder
	for line := range strings.SplitSeq(c.said, "\n") {
		switch line {
		case "":
		case "…":
			pattern.WriteString(`(.*\n)*`)
		default:
			pattern.WriteString(" *" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + ` *\n`)
		}
	}
	return regexp.MustCompile("^" + pattern.String() + "$").MatchString(output)
}

// A reader follows the page.
type reader struct {
	t       testing.TB
	gateway s3test.Gateway
	dir     string // the working folder
	site    string
	env     []string
	nodes   map[string]*pageNode
	ports   map[string]int // where their ssh servers are
}

// A pageNode is a machine that the page has made a disk for.
type pageNode struct {
	*Guest
	up bool // and somebody is logged in
}

// comesUp logs in where nobody is, and lets the node settle: a person is not as
// fast as that.
func (n *pageNode) comesUp() {
	n.t.Helper()
	if n.up {
		return
	}
	n.HandsOver()
	n.Login()
	n.judged()
	n.Runs("for i in $(seq 90); do grep -q -e state=done -e state=failed /etc/psyopsOS/status/postboot && break; sleep 1; done")
	n.up = true
}

func newReader(t testing.TB) *reader {
	t.Helper()
	top := t.TempDir()
	r := &reader{t: t, gateway: s3test.Start(t), dir: top, site: filepath.Join(top, "mysite"), nodes: map[string]*pageNode{}, ports: map[string]int{}}
	suite.takesSlot(t) // one for all its machines, which wait for one another
	bin := t.TempDir()
	if err := os.Symlink(tkBinary(t), filepath.Join(bin, "tk")); err != nil {
		t.Fatal(err)
	}
	run(t, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", filepath.Join(bin, "neuralupgrade"), "psyopsOS/init")
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// The debs' cache is the user's; AWS's files are nobody's. The machines tell
	// their events.
	r.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "PSYOPSOS_SOURCE="+source, "http_proxy=http://"+r.gateway.Website,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "PSYOPSOS_APPEND=psyopsos.events="+vm.EventsDevice)
	r.env = append(r.env, r.gateway.Environment()...)
	// What the site's key and nodes do not change is there already.
	stages := filepath.Join(r.site, "artifacts", "stages")
	if err := os.MkdirAll(stages, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"init", "commands", "kernel"} {
		run(t, "cp", "-a", filepath.Join(out, "stages", stage), stages)
	}
	// In the place of a name server.
	hosts := filepath.Join(r.site, "overlay", "etc", "hosts")
	if err := os.MkdirAll(filepath.Dir(hosts), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n10.0.2.2 "+s3test.Bucket+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node1", "node2", "node3"} {
		if r.ports[name], err = vm.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

var writesNode = regexp.MustCompile(`^tk write (/dev/sdX) --node (\w+)$`)

// inPlace is what is typed in the place of what the page says: a server that is
// nobody's root has another port than 80, the nodes are behind ports of this
// machine, and a file stands for a disk.
func (r *reader) inPlace(typed string) string {
	if m := writesNode.FindStringSubmatch(typed); m != nil {
		return fmt.Sprintf("truncate -s 720M %[1]s && tk write %[1]s --node %[2]s --yes-overwrite %[1]s --quiet --size psyopsOS-A=160 --size psyopsOS-B=160 --size psyops-secret=16", r.disk(m[2]), m[2])
	}
	if strings.HasPrefix(typed, "echo 'repository = ") {
		_, port, _ := strings.Cut(r.gateway.Website, ":")
		return strings.Replace(typed, s3test.Bucket, s3test.Bucket+":"+port, 1)
	}
	if words, ok := strings.CutPrefix(typed, "tk deployos "); ok {
		for name, port := range r.ports {
			words = strings.Replace(words, name, fmt.Sprintf("%s=127.0.0.1:%d", name, port), 1)
		}
		return "tk deployos " + words
	}
	return typed
}

func (r *reader) disk(node string) string { return filepath.Join(filepath.Dir(r.site), node+".disk") }

// types runs a command of the page in a shell, where the page is by then.
func (r *reader) types(c typedCommand) {
	r.t.Helper()
	if to, ok := strings.CutPrefix(c.typed, "cd "); ok {
		r.dir = filepath.Join(r.dir, to)
		return
	}
	began := time.Now()
	cmd := exec.Command("sh", "-c", r.inPlace(c.typed))
	cmd.Dir, cmd.Env = r.dir, r.env
	var told bytes.Buffer
	cmd.Stderr = &told
	output, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("$ %s\n%s%s%v", c.typed, output, &told, err)
	}
	if !c.matches(string(output)) {
		r.t.Errorf("$ %s\nsays\n%s\nand the page has\n%s\nIt told beside that:\n%s", c.typed, output, c.said, &told)
	}
	if took := time.Since(began); took > time.Second {
		r.t.Logf("%.0f s: %s", took.Seconds(), c.typed)
	}
	if m := writesNode.FindStringSubmatch(c.typed); m != nil {
		r.switchOn(m[2])
	}
}

// switchOn starts the node's machine; whoever types there waits for it.
func (r *reader) switchOn(name string) {
	r.t.Helper()
	nic := vm.NIC{SSH: r.ports[name]}
	if name == "node1" { // as tk init has made it
		nic.MAC = "52:54:00:12:34:56"
	}
	// A suite for each: they must not wait for one slot.
	g := NewSuite(suite.Images, suite.Logs).Boot(r.t, Scenario{Firmware: true, Resets: true, Disks: onDisk(r.disk(name)),
		Deadline: 15 * time.Minute, Machine: vm.Machine{NICs: []vm.NIC{nic}}})
	r.nodes[name] = &pageNode{Guest: g}
}

// typesAt types a command of the page on a node's console.
func (r *reader) typesAt(c typedCommand) {
	r.t.Helper()
	n := r.nodes[c.at]
	if n == nil {
		r.t.Fatalf("%s# %s: the page has made no such node", c.at, c.typed)
	}
	n.comesUp()
	if strings.HasSuffix(c.typed, "reboot") {
		n.Restarts(c.typed)
		n.up = false
		return
	}
	output, code := n.Tries(c.typed)
	if code != 0 || !c.matches(output+"\n") {
		r.t.Errorf("%s# %s\nsays, with exit status %d,\n%s\nand the page has\n%s", c.at, c.typed, code, output, c.said)
	}
}
