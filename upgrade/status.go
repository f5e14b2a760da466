package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// status tells how the boot went, and what the boot loader will do next. It
// mounts nothing and needs no keys.
func status(_ context.Context, c *call) (int, error) {
	if err := c.noArgs(); err != nil {
		return exitUsage, err
	}
	report, raw, err := readReport(c.env.Root)
	if err != nil {
		return exitError, err
	}
	loader := loaderNow(c.env, c.Settings, report)
	switch {
	case c.loginScreen:
		err = showLine(c.env.Root, report, loader)
	case c.line:
		problems, _, errHealth := unhealthy(c.env.Root)
		_, err = fmt.Fprintln(c.env.Stdout, loader.line(report, readPostboot(c.env.Root), problems))
		err = errors.Join(err, errHealth)
	case c.JSON:
		err = c.printStatus(raw, loader, report)
	default:
		_, err = fmt.Fprint(c.env.Stdout, report.Summary(), loader.status(report))
	}
	return exitOf(err), err
}

// printStatus prints boot.json with what the loader's state says beside it.
func (c *call) printStatus(raw []byte, l Loader, report boot.Report) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	text, err := json.Marshal(l.statusTree(report))
	if err != nil {
		return err
	}
	all["loader"] = text
	e := json.NewEncoder(c.env.Stdout)
	e.SetIndent("", " ")
	return e.Encode(all)
}

// loaderNow reads the boot loader's state on the booted disk.
func loaderNow(e Env, s Settings, report boot.Report) Loader {
	i := inspector{e: e}
	if err := i.look(report); err != nil {
		return Loader{Missing: err}
	}
	v, _ := i.volume(s.EFISystem)
	if report.Disk != "" && i.disk == "" {
		return Loader{Missing: errors.New("the disk that was booted is not there")}
	}
	l := i.loader(Firmware{Volume: v})
	l.Running, l.ChangedNow = report.Loader, isChanged(e.Root)
	return l
}

// statusTree is what a script wants to know.
func (l Loader) statusTree(report boot.Report) (t tree) {
	if l.Picked == 0 {
		t.add("error", fmt.Sprint(l.Missing))
		return t
	}
	t.add("default", string(l.State.Good))
	t.add("trial", string(l.State.Try))
	t.add("tries_left", l.triesLeft())
	t.add("proven", l.provenSides())
	t.add("floor", l.State.Floor)
	t.add("bad", l.State.Bad)
	t.addSet("new_loader", l.onceWord())
	t.addSet("damaged", l.damaged())
	failed := l.failed(report)
	t.add("last_failure", failed.String())
	if failed != (Failure{}) {
		t.add("failure", failed.tree())
	}
	return t
}

// status are the same facts as lines that line up with boot's.
func (l Loader) status(report boot.Report) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", key+":", value)
		}
	}
	if l.Picked == 0 {
		line("loader", fmt.Sprint(l.Missing))
		return b.String()
	}
	line("default", string(l.State.Good))
	if l.State.Try != "" {
		trial := fmt.Sprintf("%s, %d tries left", l.State.Try, l.triesLeft())
		if l.Tries.For == l.State.Seq && l.Tries.Confirm == bootstate.ConfirmRemote {
			trial += "; only `neuralupgrade commit` from outside keeps it"
		}
		line("trial", trial)
	}
	line("proven", strings.Join(l.provenSides(), " "))
	line("floor", l.State.Floor)
	line("loader", l.onceWord())
	if damaged := l.damaged(); damaged != "" {
		line("damaged", damaged+" ("+hintRebuild+")")
	}
	line("failed", l.failed(report).String())
	return b.String()
}

// provenSides are the sides to which the boot loader may fall back, as far as
// its state says.
func (l Loader) provenSides() []string {
	sides := []string{string(l.State.Good)}
	if l.State.Alt != "" {
		sides = append(sides, string(l.State.Alt))
	}
	return sides
}

func readReport(root string) (boot.Report, []byte, error) {
	report, raw, err := readReportFile(filepath.Join(root, layout.BootJSON))
	if errors.Is(err, fs.ErrNotExist) {
		err = step.WithHint(err, "this machine was not booted by psyopsOS's init")
	}
	return report, raw, err
}

func readReportFile(path string) (boot.Report, []byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return boot.Report{}, nil, err
	}
	var report boot.Report
	if err := json.Unmarshal(raw, &report); err != nil {
		return boot.Report{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	return report, raw, nil
}
