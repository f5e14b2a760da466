package boot

import (
	"path"
	"strings"
)

// moduleName is a module's name as /proc/modules has it, from any way to
// write it: dashes and underscores are equal, and a path ends in .ko or .ko
// and a compression.
func moduleName(s string) string {
	s, _, _ = strings.Cut(path.Base(s), ".ko")
	return strings.ReplaceAll(s, "-", "_")
}
