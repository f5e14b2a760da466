package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"psyopsOS/boot"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// status tells how the boot went.
func status(_ context.Context, c *call) (int, error) {
	if err := c.noArgs(); err != nil {
		return exitUsage, err
	}
	report, raw, err := readReport(c.env.Root)
	if err != nil {
		return exitError, err
	}
	if c.JSON {
		_, err := c.env.Stdout.Write(raw)
		return exitOf(err), err
	}
	fmt.Fprint(c.env.Stdout, report.Summary())
	return exitDone, nil
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
