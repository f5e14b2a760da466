package mounts

import "errors"

// With makes a mount, does something with it, and unmounts it.
func With(sys System, m Mount, do func(root string) error) (err error) {
	if err := sys.Mount(m); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Unmount(m.Target)) }()
	return do(m.Target)
}
