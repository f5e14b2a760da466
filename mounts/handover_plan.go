package mounts

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// A move is one mount and its place in the new root.
type move struct {
	mount MountPoint
	to    string
}

// rootMoves is what a hand-over does to the mount table.
type rootMoves struct {
	moves  []move       // in order; what is mounted below goes along
	hidden []MountPoint // lie under others: no path leads to them
	shared bool         // propagation has to end first: the kernel refuses such a move
	// keepFiles says that a folder of the initramfs is bound somewhere: to
	// empty the initramfs would empty that too.
	keepFiles bool
}

// ramTypes are the file systems that an initramfs may be; only from one of
// these does Handover go on.
var ramTypes = []string{"rootfs", "ramfs", "tmpfs"}

// planMoves decides how every mount gets under the new root. It is the part of
// the guards that the mount table can answer.
func planMoves(points []MountPoint, newRoot string) (rootMoves, error) {
	root, err := oneAt(points, "/")
	if err != nil {
		return rootMoves{}, err
	}
	if !slices.Contains(ramTypes, root.Type) {
		return rootMoves{}, fmt.Errorf("the root is a %s and no initramfs", root.Type)
	}
	switch {
	case !path.IsAbs(newRoot) || path.Clean(newRoot) != newRoot:
		return rootMoves{}, fmt.Errorf("the new root %q is no clean absolute path", newRoot)
	case newRoot == "/":
		return rootMoves{}, errors.New("the new root is the old one")
	}
	target, err := oneAt(points, newRoot)
	if err != nil {
		return rootMoves{}, err
	}
	if target.Parent != root.ID {
		return rootMoves{}, fmt.Errorf("the new root %s lies in another mount: that one could not be moved into it", newRoot)
	}
	return movesInto(points, root, target), nil
}

func movesInto(points []MountPoint, root, target MountPoint) rootMoves {
	var plan rootMoves
	for _, p := range points {
		plan.shared = plan.shared || p.Shared
		plan.keepFiles = plan.keepFiles || p.ID != root.ID && p.Device == root.Device
		if p.ID == root.ID || p.ID == target.ID {
			continue
		}
		way := wayTo(points, root, p.Path)
		seen := len(way) > 0 && way[len(way)-1].ID == p.ID
		switch {
		case seen && way[0].Path == p.Path:
			plan.moves = append(plan.moves, move{p, path.Join(target.Path, p.Path)})
		case !seen && p.Parent == root.ID:
			plan.hidden = append(plan.hidden, p)
		}
	}
	return plan
}

// wayTo lists the mounts that one crosses on the way from the root to a name,
// as the kernel walks: at each mount point into what is mounted there.
func wayTo(points []MountPoint, root MountPoint, name string) []MountPoint {
	var way []MountPoint
	for at := root; len(way) < len(points); {
		next := -1
		for i, p := range points {
			if p.Parent == at.ID && p.ID != at.ID && within(name, p.Path) &&
				(next < 0 || len(p.Path) < len(points[next].Path)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		at = points[next]
		way = append(way, at)
	}
	return way
}

func oneAt(points []MountPoint, name string) (MountPoint, error) {
	var found []MountPoint
	for _, p := range points {
		if p.Path == name {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return MountPoint{}, fmt.Errorf("nothing is mounted at %s", name)
	case 1:
		return found[0], nil
	}
	return MountPoint{}, fmt.Errorf("%d mounts lie over each other at %s", len(found), name)
}
