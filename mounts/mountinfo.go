package mounts

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// A MountPoint is one mount that exists, as a line of mountinfo tells it.
type MountPoint struct {
	ID, Parent   int
	Device       string // major:minor of the file system
	Root         string // the folder of the file system that is seen
	Path         string // where it is seen
	Options      string
	Shared       bool // mounts below it propagate to its peers
	Type         string
	Source       string
	SuperOptions string
}

// ParseMountInfo reads the text of /proc/self/mountinfo, in its order: a later
// mount at the same path lies over an earlier one.
func ParseMountInfo(text string) ([]MountPoint, error) {
	var points []MountPoint
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		point, err := parseMountLine(line)
		if err != nil {
			return nil, fmt.Errorf("mountinfo line %d %q: %w", number, line, err)
		}
		points = append(points, point)
	}
	return points, nil
}

func parseMountLine(line string) (MountPoint, error) {
	before, after, ok := strings.Cut(line, " - ")
	if !ok {
		return MountPoint{}, errors.New("no separator")
	}
	head, tail := strings.Split(before, " "), strings.Split(after, " ")
	if len(head) < 6 || len(tail) < 2 {
		return MountPoint{}, errors.New("too few fields")
	}
	id, err := strconv.Atoi(head[0])
	if err != nil {
		return MountPoint{}, fmt.Errorf("mount ID: %w", err)
	}
	parent, err := strconv.Atoi(head[1])
	if err != nil {
		return MountPoint{}, fmt.Errorf("parent ID: %w", err)
	}
	point := MountPoint{ID: id, Parent: parent, Device: head[2], Root: unescape(head[3]),
		Path: unescape(head[4]), Options: head[5], Type: tail[0], Source: unescape(tail[1])}
	if !path.IsAbs(point.Path) {
		return MountPoint{}, errors.New("the mount point is no absolute path")
	}
	for _, word := range head[6:] {
		point.Shared = point.Shared || strings.HasPrefix(word, "shared:")
	}
	if len(tail) > 2 {
		point.SuperOptions = tail[2]
	}
	return point, nil
}

// unescape turns the kernel's \ooo into bytes; anything else stays as it is.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// IsMounted reports whether something is mounted at target.
func IsMounted(points []MountPoint, target string) bool {
	for _, p := range points {
		if p.Path == path.Clean(target) {
			return true
		}
	}
	return false
}

// within reports whether name is dir or below it.
func within(name, dir string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}
