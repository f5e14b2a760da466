//go:build qemu

package qemutests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/image"
)

// Issue 5, Bench. tk's build beside the same image made by plain/build.sh with
// the same tools: everything with cached packages, nothing changed, one file
// of an overlay changed. Both are given the compiled programs.
func BenchmarkBuild(b *testing.B) {
	c, err := newBuildCourse(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	times := map[string][]time.Duration{}
	for round := range 3 {
		for _, run := range c.runs() {
			took, err := c.time(run, round)
			if err != nil {
				b.Fatal(err)
			}
			times[run.name] = append(times[run.name], took)
		}
	}
	b.ReportMetric(0, "ns/op") // the time of the benchmark itself means nothing
	plain := median(times["plain script"])
	for _, run := range c.runs() {
		middle, all := median(times[run.name]), times[run.name]
		b.Logf("%-18s %8.2f s (%.2f to %.2f)  %.3f of the plain script", run.name, middle.Seconds(),
			slices.Min(all).Seconds(), slices.Max(all).Seconds(), middle.Seconds()/plain.Seconds())
		b.ReportMetric(middle.Seconds()/plain.Seconds(), strings.ReplaceAll(run.name, " ", "-")+"/plain")
	}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// A buildCourse is what both builds start from.
type buildCourse struct {
	dir, tk, stages, overlay, debs, kernel string
}

type buildRun struct {
	name    string
	prepare func(round int) error
	command []string
}

func newBuildCourse(dir string) (*buildCourse, error) {
	if _, err := suite.Images(); err != nil {
		return nil, err
	}
	stages, err := filepath.Abs(filepath.Join(out, "stages"))
	if err != nil {
		return nil, err
	}
	c := &buildCourse{dir: dir, tk: filepath.Join(dir, "tk"), stages: stages, overlay: filepath.Join(dir, "overlay"), debs: filepath.Join(dir, "debs")}
	if said, err := exec.Command("go", "build", "-o", c.tk, "psyopsOS/cmd/tk").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	userland, err := cachedDebs(filepath.Join(stages, "squashfs", image.PartsFile))
	if err != nil {
		return nil, err
	}
	kernel, err := cachedDebs(filepath.Join(stages, "kernel", image.PartsFile))
	if err != nil {
		return nil, err
	}
	c.kernel = kernel[0]
	return c, errors.Join(os.MkdirAll(filepath.Join(c.overlay, "etc"), 0o755), c.change(-1),
		os.WriteFile(c.debs, []byte(strings.Join(userland, "\n")+"\n"), 0o644))
}

// cachedDebs are the packages that a stage was made of, in tk's cache.
func cachedDebs(parts string) ([]string, error) {
	p, err := image.ReadParts(parts)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, pkg := range p.Packages {
		name := filepath.Join(cache, "psyopsOS/debs", fmt.Sprintf("%s_%s_%s.deb", pkg.Name, pkg.Version, pkg.Arch))
		if _, err := os.Stat(name); err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s names no packages", parts)
	}
	return files, nil
}

// change writes the overlay's one file.
func (c *buildCourse) change(round int) error {
	return os.WriteFile(filepath.Join(c.overlay, "etc/motd"), fmt.Appendf(nil, "round %d\n", round), 0o644)
}

func (c *buildCourse) out() string { return filepath.Join(c.dir, "out") }

// fresh is an output folder that has the compiled programs and nothing else.
func (c *buildCourse) fresh(int) error {
	if err := errors.Join(os.RemoveAll(c.out()), os.MkdirAll(filepath.Join(c.out(), "stages"), 0o755)); err != nil {
		return err
	}
	for _, stage := range []string{"init", "commands"} {
		if said, err := exec.Command("cp", "-a", filepath.Join(c.stages, stage), filepath.Join(c.out(), "stages")).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
	}
	return nil
}

func (c *buildCourse) runs() []buildRun {
	ours := []string{c.tk, "mkimage", "diskimg", "--quiet", "--out", c.out(), "--overlay", c.overlay,
		"--size", "psyopsOS-A=160", "--size", "psyopsOS-B=160", "--size", "psyops-secret=16"}
	plain := []string{"sh", "plain/build.sh", filepath.Join(c.dir, "plain"), c.debs, c.kernel,
		filepath.Join(c.stages, "init/init"), filepath.Join(c.stages, "commands/commands.cpio"), "../u-root-config/modules", c.overlay}
	nothing := func(int) error { return nil }
	return []buildRun{
		{"plain script", nothing, plain},
		{"tk, all", c.fresh, ours},
		{"tk, nothing new", nothing, ours},
		{"tk, one file", c.change, ours},
	}
}

func (c *buildCourse) time(run buildRun, round int) (time.Duration, error) {
	if err := run.prepare(round); err != nil {
		return 0, err
	}
	cmd := exec.Command(run.command[0], run.command[1:]...)
	// The release's time is fixed, as it is between two commits.
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1795255200", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	start := time.Now()
	said, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", run.name, err, said)
	}
	return time.Since(start), c.hasDisk(run)
}

// hasDisk says whether the run has made a whole disk: a racer that stops half
// way is fast.
func (c *buildCourse) hasDisk(run buildRun) error {
	name := filepath.Join(c.out(), "psyopsOS.img")
	if run.name == "plain script" {
		name = filepath.Join(c.dir, "plain/disk.img")
	}
	said, err := exec.Command("sgdisk", "-v", name).CombinedOutput()
	if err != nil || !strings.Contains(string(said), "No problems found") {
		return fmt.Errorf("%s: %s: %w\n%s", run.name, name, err, said)
	}
	return nil
}
