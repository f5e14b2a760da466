//go:build qemu

package loader

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// TestTheScriptChoosesAsOurCodeDoes runs the shipped script, the same bytes,
// in the real GRUB on OVMF over a table of odd states, and compares what it
// chooses and what it leaves in TRIES.ENV with bootstate's answer for the
// same disk. Only start_side is another: it notes the choice. One boot runs
// the whole table.
func TestTheScriptChoosesAsOurCodeDoes(t *testing.T) {
	cases, kinds := table(), sideKinds()
	d := makeTableDisk(t, cases, kinds)
	console := runTable(t, d.image, d.unreadable, d.unwritable)
	results := regexp.MustCompile(`CASE (\d+) copy=(\d) chosen=(\w+ \w+|none)`).FindAllStringSubmatch(console, -1)
	if len(results) != len(cases) || !strings.Contains(console, "TABLE DONE") {
		t.Fatalf("%d of %d cases were run; the console:\n%s", len(results), len(cases), console)
	}
	after := d.open(t)
	for i, c := range cases {
		want := d.want(t, i, c, kinds)
		got := fmt.Sprintf("copy=%s chosen=%s", results[i][2], results[i][3])
		if wanted := fmt.Sprintf("copy=%d chosen=%s", want.Copy, chosen(want.Boot)); got != wanted {
			t.Errorf("%s: the script: %s; our code: %s\n%s", c.name, got, wanted, section(console, i))
		}
		tries, err := bootstate.ReadFile(after, casePath(i, layout.Tries))
		if err != nil && c.tries != nil {
			t.Errorf("%s: read TRIES.ENV again: %v", c.name, err)
		}
		expected := want.Tries
		if c.bad == layout.Tries || c.unwritable {
			expected = c.tries
		}
		if !bytes.Equal(tries, expected) {
			t.Errorf("%s: the script leaves TRIES.ENV as %q, our code as %q", c.name, trim(tries), trim(expected))
		}
		if c.want != "" && got != c.want {
			t.Errorf("%s: got %s, want %s\n%s", c.name, got, c.want, section(console, i))
		}
	}
	checkMenus(t, console)
	checkDisk(t, console)
	if t.Failed() {
		t.Logf("the whole console:\n%s", console)
	}
}

func chosen(b bootstate.Boot) string {
	if b.Side == "" {
		return "none"
	}
	return b.Side.Letter() + " " + string(b.Why)
}

func trim(block []byte) string { return strings.TrimRight(string(block), "#") }

// section is what the console says of one case.
func section(console string, i int) string {
	_, rest, _ := strings.Cut(console, fmt.Sprintf("BEGIN %d\n", i))
	text, _, _ := strings.Cut(rest, fmt.Sprintf("CASE %d ", i))
	return text
}

func casePath(i int, path string) string { return fmt.Sprintf("C%d/%s", i, path) }

// checkMenus compares what the script takes from MENU.ENV.
func checkMenus(t *testing.T, console string) {
	for i, text := range menus() {
		want := bootstate.ParseMenu(text)
		lines := fmt.Sprintf("MENU %d wait=%d\nMENU %d append=[%s]\n", i, want.Timeout, i, want.Append)
		for _, p := range want.Programs {
			lines += fmt.Sprintf("MENU %d {%s}{%s}\n", i, p.Path, p.Title)
		}
		if got := grep(console, fmt.Sprintf("MENU %d ", i)); got != lines {
			t.Errorf("menu %q: our code:\n%sthe script:\n%s", trim(text), lines, got)
		}
	}
}

// checkDisk wants the partitions of the disk that GRUB itself is from.
func checkDisk(t *testing.T, console string) {
	const want = "DISK esp=(hd0,gpt1) second=(hd0,gpt5) a=hd0,gpt3 b=hd0,gpt4"
	if !strings.Contains(console, want) {
		t.Errorf("the disk: want %s, the script:\n%s", want, grep(console, "DISK"))
	}
}

func grep(text, word string) string {
	out := ""
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out += line
		}
	}
	return out
}

// runTable boots the disk and gives back what the serial line said.
func runTable(t *testing.T, image string, unreadable, unwritable []int64) string {
	t.Helper()
	vars := filepath.Join(t.TempDir(), "vars.fd")
	data, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.fd")
	if err == nil {
		err = os.WriteFile(vars, data, 0o600)
	}
	if err != nil {
		t.Fatalf("OVMF (Debian package ovmf): %v", err)
	}
	// The errors are injected below the raw format, which is what tells
	// blkdebug of reads and writes.
	node := "driver=raw,node-name=d,file.driver=blkdebug,file.image.driver=file,file.image.filename=" + image
	for i, sector := range unreadable {
		node += fmt.Sprintf(",file.inject-error.%d.event=read_aio,file.inject-error.%d.iotype=read,file.inject-error.%d.sector=%d,file.inject-error.%d.errno=5", i, i, i, sector, i)
	}
	for i, sector := range unwritable {
		i += len(unreadable)
		node += fmt.Sprintf(",file.inject-error.%d.event=write_aio,file.inject-error.%d.iotype=write,file.inject-error.%d.sector=%d,file.inject-error.%d.errno=5", i, i, i, sector, i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "512",
		"-nodefaults", "-display", "none", "-no-user-config", "-no-reboot", "-monitor", "none", "-net", "none", "-serial", "stdio",
		"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,file="+vars,
		"-blockdev", node, "-device", "virtio-blk-pci,drive=d,bootindex=0")
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Run(); err != nil {
		t.Errorf("qemu-system-x86_64: %v", err)
	}
	return regexp.MustCompile(`\x1b\[[0-9;=?]*[A-Za-z]|\r`).ReplaceAllString(console.String(), "")
}

// A sideKind is one partition of the table's disk. Its label is what it says,
// not what it should say; none means that the partition is empty.
type sideKind struct {
	name  string
	label layout.Label
	files fstest.MapFS
}
