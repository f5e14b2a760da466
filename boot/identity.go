package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/netif"
	"psyopsOS/secret"
	"psyopsOS/step"
)

// secretWait is how long a psyops-secret on another disk is waited for, once
// all drivers are there. It passes beside the copy of the squashfs.
const secretWait = 5 * time.Second

// secretVolume is where the volume is mounted while it is read.
const secretVolume = "/mnt/psyops-secret-volume"

// readSecret learns who this node is from a volume that was seen with the side,
// as the one on the booted disk is. It waits for none.
func (j *journey) readSecret(ctx context.Context, r *step.Reporter) error {
	volume, duplicates, err := mounts.Choose(j.seen, layout.Secret, j.side.PartUUID)
	if err != nil {
		return nil // awaitSecret tells it, if it stays so
	}
	j.readNode(r, volume, duplicates)
	return nil
}

// isSecretRead reports whether the volume was there at once, as it is on the
// booted disk.
func (j *journey) isSecretRead() bool { return j.secret.Name != "" }

// awaitSecret waits for a volume that was not there before: on a disk whose
// driver has just come, or a stick. Without one the node is an unconfigured
// one: a machine that can be reached is better than one that cannot.
func (j *journey) awaitSecret(ctx context.Context, r *step.Reporter) error {
	volume, duplicates, err := j.findSecret(ctx, r)
	if err != nil {
		r.Warn(err)
		r.Fact("nodename", layout.Unconfigured, "this node is %s", layout.Unconfigured)
		return nil
	}
	j.readNode(r, volume, duplicates)
	return j.prepareFiles(ctx, r)
}

// readNode reads the volume. Whatever is wrong with it is told, and no more.
func (j *journey) readNode(r *step.Reporter, volume mounts.Volume, duplicates []mounts.Volume) {
	j.secret, j.node = volume, secret.Unconfigured()
	j.warnDuplicates(r, layout.Secret, volume, duplicates)
	m := mounts.Mount{Source: volume.Path(), Target: j.m.path(secretVolume), Type: volume.Type,
		Flags: mounts.ReadOnly | mounts.NoDev | mounts.NoSUID | mounts.NoExec}
	if m.Type == "ext4" {
		m.Data = "noload"
	}
	err := mounts.With(j.m.Storage, m, func(root string) error {
		var warnings []error
		j.node, warnings = secret.Read(os.DirFS(root))
		for _, w := range warnings {
			r.Warn(w)
		}
		return nil
	})
	if err != nil {
		r.Warn(step.WithHint(err, "the volume may be damaged: look with e2fsck -n, or write it anew with `tk node`"))
	}
	if missing := j.node.Missing(); err == nil && len(missing) > 0 {
		r.Note("not on the volume: %s", strings.Join(missing, " "))
	}
	r.Fact("nodename", j.node.Name, "this node is %s, by psyops-secret on %s", j.node.Name, volume.Name)
}

// findSecret takes the volume on the booted disk before one elsewhere.
func (j *journey) findSecret(ctx context.Context, r *step.Reporter) (found mounts.Volume, duplicates []mounts.Volume, err error) {
	waiting, cancel := context.WithTimeoutCause(ctx, min(secretWait, j.c.Wait), errWaited)
	defer cancel()
	var none error
	err = mounts.Await(waiting, j.m.Storage, j.hotplug(ctx, r), func() (bool, error) {
		seen, err := mounts.FindLabels(j.m.Storage)
		if err != nil {
			return false, err
		}
		j.seen = seen
		found, duplicates, none = mounts.Choose(seen, layout.Secret, j.side.PartUUID)
		if none != nil {
			// A stick may have come since the drivers were loaded, before its
			// event could be heard.
			tellDrivers(r, j.drivers.Coldplug(ctx, nil))
		}
		return none == nil, nil
	})
	if errors.Is(err, errWaited) {
		err = none
	}
	return found, duplicates, err
}

// nameLinks gives the network links the names of the node's mactab.
func (j *journey) nameLinks(ctx context.Context, r *step.Reporter) error {
	mactab, problems := netif.ParseMactab(j.node.Text(secret.Mactab))
	links, err := j.m.Links.List(mactab.AsksDrivers())
	if err != nil {
		return err
	}
	plan, unmatched := netif.Plan(links, mactab)
	for _, w := range append(problems, unmatched...) {
		r.Warn(w)
	}
	renamed, failed := netif.Apply(j.m.Links, links, plan)
	for _, err := range failed {
		r.Warn(err)
	}
	for i, link := range renamed {
		if old := links[i].Name; old != link.Name {
			r.Note("%s is now %s", old, link.Name)
		}
	}
	links = renamed
	if wired, ok := netif.FirstWired(links); ok {
		j.wired = wired.Name
	}
	return nil
}

// prepareFiles decides what the node's files in the new root will hold:
// checking the ssh key alone takes 30 ms of a processor that has not done it
// before.
func (j *journey) prepareFiles(ctx context.Context, r *step.Reporter) error {
	files, warnings := j.node.Install()
	for _, w := range warnings {
		r.Warn(w)
	}
	j.files = files
	return nil
}

// installSecret writes the node's files into the new root, and copies of the
// whole volume into a tmpfs that only root can read, so that the paths in the
// env file outlive the medium.
func (j *journey) installSecret(ctx context.Context, r *step.Reporter) error {
	parent := j.m.newPath(layout.MountSecretParent)
	if err := errors.Join(os.MkdirAll(parent, 0o700), os.Chmod(parent, 0o700)); err != nil {
		return err
	}
	err := j.m.Storage.Mount(mounts.Mount{Source: "psyops-secret", Target: j.m.newPath(layout.MountSecret), Type: "tmpfs",
		Flags: mounts.NoDev | mounts.NoSUID, Data: fmt.Sprintf("size=%d,mode=0700", secret.TotalLimit+1<<20)})
	if err != nil {
		return err
	}
	return secret.Install(j.m.newPath(), j.files)
}

// configureNetwork comes when the links have their names: only then is the
// first wired one known.
func (j *journey) configureNetwork(ctx context.Context, r *step.Reporter) error {
	files := j.network(r)
	if len(files) == 0 {
		return nil
	}
	return secret.Install(j.m.newPath(), files)
}

// network is the configuration of a node that brings none of its own: what ip=
// says, or DHCP on the first wired link, so that a new node is reachable.
func (j *journey) network(r *step.Reporter) []secret.File {
	if _, own := j.node.Files[secret.Interfaces]; own {
		if j.c.IP.Method != netif.Unasked {
			r.Note("ip= is not used: psyops-secret has %s", secret.Interfaces)
		}
		return nil
	}
	files := []secret.File{{Path: secret.InterfacesPath, Mode: 0o644, Data: secret.Hide([]byte(j.c.IP.Interfaces(j.wired)))}}
	if text := j.c.IP.ResolvConf(); text != "" {
		files = append(files, secret.File{Path: "/etc/resolv.conf", Mode: 0o644, Data: secret.Hide([]byte(text))})
	}
	return files
}
