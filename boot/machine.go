package boot

import (
	"context"
	"path/filepath"

	"psyopsOS/mounts"
	"psyopsOS/netif"
	"psyopsOS/release"
)

// newRoot is where the new root is put together, in the initramfs.
const newRoot = "/newroot"

// A Machine is all that the boot touches of the world outside it. The real
// one is made in init's main; boottest.Machine is a complete fake.
type Machine struct {
	Storage mounts.System
	Modules Modules // the kernel's; loads kernel modules
	Links   netif.Links
	// Keys reads the keys in the initramfs. It is asked when something is to be
	// verified: that takes 10 ms of a processor that has not done it before.
	Keys   func() (release.Keys, error)
	Kernel string // uname -r
	// Handover is mounts.Handover: it ends this program.
	Handover func(mounts.HandoverPlan) error
	// Shell runs the emergency shell that a word of the command line asks for,
	// and comes back when it is left or nobody came.
	Shell func(ctx context.Context, asked string) error
	Root  string // "/" on a real machine; a test's folder elsewhere
}

// path is the place of a file of the initramfs or, below newRoot, of the new
// root.
func (m Machine) path(elem ...string) string {
	return filepath.Join(append([]string{m.Root}, elem...)...)
}

// newPath is the place in the new root of a path as the running system will
// see it.
func (m Machine) newPath(elem ...string) string {
	return m.path(append([]string{newRoot}, elem...)...)
}
