package disk

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

type extent struct{ first, last int64 }

// extents asks mshowfat on which clusters each of the names lies.
func (f fat) extents(ctx context.Context, names []string) ([][]extent, error) {
	args := []string{"-i", f.image}
	for _, n := range names {
		args = append(args, "::"+n)
	}
	out, _, err := f.run(ctx, nil, "mshowfat", args...)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(names) {
		return nil, fmt.Errorf("mshowfat gave %d lines for %d files", len(lines), len(names))
	}
	all := make([][]extent, len(names))
	for i, line := range lines {
		if all[i], err = parseExtents(line); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parseExtents reads a line of mshowfat: "::grub/STATE1.ENV <6-7> <9>".
func parseExtents(line string) ([]extent, error) {
	var list []extent
	for _, m := range regexp.MustCompile(`<([^<>]*)>`).FindAllStringSubmatch(line, -1) {
		first, last, ranged := strings.Cut(m[1], "-")
		if !ranged {
			last = first
		}
		a, err1 := strconv.ParseInt(first, 10, 64)
		b, err2 := strconv.ParseInt(last, 10, 64)
		if err1 != nil || err2 != nil || a < 0 || b < a {
			return nil, fmt.Errorf("mshowfat's %q: no clusters in %q", line, m[0])
		}
		list = append(list, extent{a, b})
	}
	return list, nil
}
