package deploy

import (
	"context"

	"golang.org/x/crypto/ssh"

	"psyopsOS/step"
)

// A Source is where a node has the release from.
type Source struct {
	Tar        string   // a file here, which is sent
	Signatures []string // the files of its signatures
	Repository string   // or: where the node fetches it; empty: what is set there
}

// Sent says whether the release is sent.
func (s Source) Sent() bool { return s.Tar != "" }

// A Machine is a node that can be reached now.
type Machine interface {
	Status(ctx context.Context) (Status, error)
	// Room is how many bytes there are for a release.
	Room(ctx context.Context) (int64, error)
	// Send brings the release's files; what an earlier, broken Send has brought
	// is not sent again.
	Send(ctx context.Context, s Source, progress func(done, total int64)) error
	// Apply writes the release to the nonbooted side and puts it on trial, which
	// only a commit from outside ends well. The node's own events go to tell.
	Apply(ctx context.Context, r Request, tell step.Sink) error
	// Restart returns when the restart was begun.
	Restart(ctx context.Context) error
	Commit(ctx context.Context) error
	Close() error
}

// A Host is a node by the name that the user knows it by.
type Host struct {
	Name      string
	Addresses []string      // host:port; the first that answers
	Key       ssh.PublicKey // the only one that is taken for the node's
}

// Dial reaches a node.
type Dial func(ctx context.Context, h Host) (Machine, error)
