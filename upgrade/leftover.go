package upgrade

import (
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/mounts"
)

// unmountLeftovers unmounts what a neuralupgrade that was killed has left
// behind: it had no time to do so itself. Only who holds the lock may, since
// nobody else writes then. What somebody uses stays, and NewPlan says so.
func (c *call) unmountLeftovers() error {
	points, err := c.env.Storage.Mounts()
	if err != nil {
		return err
	}
	slices.Reverse(points) // the topmost first
	for _, v := range []VolumeSettings{c.A, c.B} {
		for _, p := range points {
			if !v.Mock && p.Path == filepath.Join(c.env.Root, v.MountPoint) && strings.HasPrefix(p.Source, "/dev/") && isOurs(p) {
				_ = c.env.Storage.Unmount(p.Path)
			}
		}
	}
	return nil
}

// isOurs tells by the flags that are on every mount of a side that this program
// makes, and on none that a person makes by the lines of fstab.
func isOurs(p mounts.MountPoint) bool {
	have := strings.Split(p.Options, ",")
	for _, word := range []string{"nodev", "nosuid", "noexec"} {
		if !slices.Contains(have, word) {
			return false
		}
	}
	return true
}
