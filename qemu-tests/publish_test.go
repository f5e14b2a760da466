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

	"psyopsOS/deaddrop/s3test"
	"psyopsOS/layout"
	"psyopsOS/release"
)

// Issue 5: docs/publish.md is typed from its beginning to its end, with tk
// itself, real builds and a real S3 server that has the page's policy. After
// each push three nodes (folders in the place of their sides) update from the
// bucket with the real neuralupgrade. The same in a booted machine is
// TestAnUpdateGoesOverTheNetworkToTheOtherSide.
func TestThePageAboutPublishingIsTrue(t *testing.T) {
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
	pushes := 0
	for _, block := range blocksOf(page, "console") {
		for _, c := range commandsOf(block) {
			r.types(c)
			if c.typed == "tk deaddrop push" {
				pushes++
				r.nodesUpdate()
			}
		}
	}
	if pushes != 2 {
		t.Errorf("the page pushes %d times, want 2", pushes)
	}
}

func blocksOf(page, kind string) (blocks []string) {
	for _, found := range regexp.MustCompile("(?s)\n```"+kind+"\n(.*?)\n```\n").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// A typed command, and what must come back: … stands for anything, alone for
// any lines.
type typedCommand struct{ typed, said string }

func commandsOf(block string) (commands []typedCommand) {
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		typed, said, _ := strings.Cut(part, "\n")
		commands = append(commands, typedCommand{typed, said})
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
	nodes   []string // the folders of their b sides
}

func newReader(t testing.TB) *reader {
	t.Helper()
	top := t.TempDir()
	r := &reader{t: t, gateway: s3test.Start(t), dir: top, site: filepath.Join(top, "mysite")}
	bin := filepath.Dir(tkBinary(t))
	t.Setenv("CGO_ENABLED", "0")
	run(t, "go", "build", "-trimpath", "-o", filepath.Join(bin, "neuralupgrade"), "psyopsOS/init")
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// The debs' cache is the user's; AWS's files are nobody's.
	r.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "PSYOPSOS_SOURCE="+source, "http_proxy=http://"+r.gateway.Website,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	r.env = append(r.env, r.gateway.Environment()...)
	// What the site's key and nodes do not change is there already.
	stages := filepath.Join(r.site, "artifacts", "stages")
	if err := os.MkdirAll(stages, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"init", "commands", "kernel"} {
		run(t, "cp", "-a", filepath.Join(out, "stages", stage), stages)
	}
	for i := range 3 {
		node := filepath.Join(top, fmt.Sprintf("node%d", i+1))
		for _, side := range []string{"a", "b", "efisys"} {
			if err := os.MkdirAll(filepath.Join(node, side), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(node, "b", string(layout.SideB)), []byte(layout.SideB), 0o644); err != nil {
			t.Fatal(err)
		}
		r.nodes = append(r.nodes, node)
	}
	return r
}

// types runs a command of the page in a shell, where the page is by then.
func (r *reader) types(c typedCommand) {
	r.t.Helper()
	if to, ok := strings.CutPrefix(c.typed, "cd "); ok {
		r.dir = filepath.Join(r.dir, to)
		return
	}
	cmd := exec.Command("sh", "-c", c.typed)
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
}

// nodesUpdate brings what latest in the bucket names onto each node.
func (r *reader) nodesUpdate() {
	r.t.Helper()
	latest := filepath.Join(r.site, "artifacts", "deaddrop", "os", release.LatestSignature(release.OS, "x86_64"))
	want, err := os.ReadFile(latest)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, node := range r.nodes {
		at := func(name string) string { return filepath.Join(node, name) }
		cmd := exec.Command("sh", "-c", "exec neuralupgrade --repository http://"+s3test.Bucket+"/os/ --pubkey keys/site.pub"+
			" --a-mock --b-mock --efisys-mock --booted-mock a --a-mountpoint "+at("a")+" --b-mountpoint "+at("b")+
			" --efisys-mountpoint "+at("efisys")+" apply nonbooted --no-boot-cfg")
		cmd.Dir, cmd.Env = r.site, r.env
		if said, err := cmd.CombinedOutput(); err != nil {
			r.t.Fatalf("%s: %v\n%s", filepath.Base(node), err, said)
		}
		got, err := os.ReadFile(at("b/psyopsOS.tar.minisig"))
		if err != nil || !bytes.Equal(got, want) {
			r.t.Errorf("%s has the release %q, %v, want %q", filepath.Base(node), got, err, want)
		}
	}
}
