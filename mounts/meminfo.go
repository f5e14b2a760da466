package mounts

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseMemAvailable finds the available memory in the text of /proc/meminfo,
// in bytes.
func ParseMemAvailable(text string) (int64, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "MemAvailable:")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) != 2 || fields[1] != "kB" {
			return 0, fmt.Errorf("meminfo: unexpected line %q", strings.TrimSpace(line))
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil || kib < 0 || kib > math.MaxInt64>>10 {
			return 0, fmt.Errorf("meminfo: not a size in line %q", strings.TrimSpace(line))
		}
		return kib << 10, nil
	}
	return 0, errors.New("meminfo: no MemAvailable")
}
