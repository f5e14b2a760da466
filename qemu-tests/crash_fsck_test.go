//go:build qemu

package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"psyopsOS/layout"
	"psyopsOS/qemu-tests/blocklog"
)

// fscked has the file systems' own checkers look at a sample of a recording's
// states, and tells where a cut between whole requests, in whatever order the
// disk's cache wrote them, left what the next apply could not mount. A side's
// ext4 may need its journal, which e2fsck -p replays as the kernel will; an EFI
// system partition may have clusters that nothing uses, and a second table
// behind the first, also where a write was torn.
//
// What else is told is beyond what a file system promises: ext4's superblock
// has a checksum over two sectors, and is written in place.
func (j *crashJudge) fscked(rec recording, l crashLimits) (broken []string) {
	j.t.Helper()
	j.takesVolumesApart()
	var mu sync.Mutex
	counts, why := tally{}, map[string]int{}
	each(rec.chosen(l, l.fsck), func(s blocklog.State, o blocklog.Overlay) {
		said := j.fsck(o)
		mu.Lock()
		defer mu.Unlock()
		c := counts[s.Kind]
		c[0]++
		if said != "" {
			c[1]++
			why[said]++
			whole := s.Kind == blocklog.InOrder || s.Kind == blocklog.Subset
			if whole || s.Kind == blocklog.Torn && !strings.Contains(said, "e2fsck") {
				broken = append(broken, fmt.Sprintf("%s, %s, request %d: %s", rec.Name, s.Kind, s.Entry, said))
			}
		}
		counts[s.Kind] = c
	})
	j.t.Logf("| fsck, %s |%v", rec.Name, counts)
	for said, n := range why {
		j.t.Logf("%s: fsck: %d × %s", rec.Name, n, said)
	}
	return broken
}

// checked are the volumes that an update writes.
var checked = []layout.Label{layout.EFISystem, layout.SideA, layout.SideB, layout.EFISystem2}

// fsck is what is left for a person to mend, empty where there is nothing.
func (j *crashJudge) fsck(o blocklog.Overlay) string {
	var said []string
	for _, label := range checked {
		part := j.in(label, o)
		if len(part) == 0 {
			continue // as it was made
		}
		if found := j.fscks.get([2]any{label, part.Key()}, func() string { return j.check(label, part) }); found != "" {
			said = append(said, string(label)+": "+found)
		}
	}
	return strings.Join(said, "; ")
}

func (j *crashJudge) check(label layout.Label, part blocklog.Overlay) string {
	name, err := j.extract(label, part)
	if err != nil {
		return err.Error()
	}
	defer os.Remove(name)
	if label.IsSide() {
		text, err := exec.Command("/sbin/e2fsck", "-f", "-p", name).CombinedOutput()
		if code := exitCode(err); code > 1 {
			return fmt.Sprintf("e2fsck -p ends with %d: %s", code, firstLine(text, name))
		}
		return ""
	}
	text, err := exec.Command("/sbin/fsck.fat", "-n", name).CombinedOutput()
	if code := exitCode(err); code != 0 {
		for line := range strings.Lines(string(text)) {
			if !harmless.MatchString(line) {
				return fmt.Sprintf("fsck.fat -n ends with %d: %s", code, strings.TrimSpace(line))
			}
		}
	}
	return ""
}

// harmless are the lines of fsck.fat that mean no more than clusters that are
// not used, or a second table behind the first; and those that say nothing.
var harmless = regexp.MustCompile(`^(fsck\.fat |FATs differ but appear to be intact|There are differences between |Differences: |  1\) |  2\) |  3\) |  Using first FAT|Reclaimed \d+ unused cluster|Free cluster summary |  Auto-correcting|  Setting |Leaving filesystem unchanged|Not automatically |.*: \d+ files, \d+/\d+ clusters|\s*$)`)

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return -1
}

func firstLine(text []byte, name string) string {
	said := strings.ReplaceAll(strings.TrimSpace(string(text)), name, "it")
	line, _, _ := strings.Cut(said, "\n")
	return line
}

// takesVolumesApart makes a file of each volume, as the image has it.
func (j *crashJudge) takesVolumesApart() {
	j.t.Helper()
	if j.bases != nil {
		return
	}
	j.bases = map[layout.Label]string{}
	for _, label := range checked {
		p, name := j.parts[label], filepath.Join(j.t.TempDir(), string(label))
		run(j.t, "dd", "if="+j.image.Name(), "of="+name, "bs=1M", "iflag=skip_bytes,count_bytes", fmt.Sprint("skip=", p.Start), fmt.Sprint("count=", p.Size), "conv=sparse", "status=none")
		if err := os.Truncate(name, p.Size); err != nil {
			j.t.Fatal(err)
		}
		j.bases[label] = name
	}
}

// extract is a volume of a state as a file of its own.
func (j *crashJudge) extract(label layout.Label, part blocklog.Overlay) (string, error) {
	p := j.parts[label]
	f, err := os.CreateTemp(j.t.TempDir(), "volume")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if text, err := exec.Command("cp", "--sparse=always", j.bases[label], f.Name()).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	for offset, data := range part.Runs {
		if _, err := f.WriteAt(data, offset-p.Start); err != nil {
			return "", err
		}
	}
	return f.Name(), nil
}
