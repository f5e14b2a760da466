package mounts

import (
	"fmt"
	"slices"
	"strings"
)

// UsersOf lists what keeps a disk in use: mounts of it or of its partitions,
// and loop devices whose file lies on one of those. None means that the disk
// can be pulled out.
func UsersOf(sys System, disk string) ([]string, error) {
	devices, err := sys.Devices()
	if err != nil {
		return nil, err
	}
	points, err := sys.Mounts()
	if err != nil {
		return nil, err
	}
	loops, err := sys.Loops()
	if err != nil {
		return nil, err
	}
	var users, below []string
	for _, p := range points {
		if slices.ContainsFunc(devices, func(d Device) bool { return d.Disk == disk && p.Source == d.Path() }) {
			users = append(users, fmt.Sprintf("%s at %s", p.Source, p.Path))
			below = append(below, p.Path+"/")
		}
	}
	for _, l := range loops {
		if slices.ContainsFunc(below, func(dir string) bool { return strings.HasPrefix(l.File, dir) }) {
			users = append(users, fmt.Sprintf("%s with %s", l.Device, l.File))
		}
	}
	return users, nil
}
