package shell

import (
	"context"
	"io"
)

// A Terminal is one console: all that the emergency shell touches of the
// world. OpenTerminal opens a real one; shelltest.Terminal is the fake.
type Terminal interface {
	// Name is the console's name in /dev.
	Name() string
	// Write shows text. It gives up after a while on a line that was
	// stopped.
	io.Writer
	// Key waits for a key and takes it: nil when one was pressed, else why
	// there will be none.
	Key(ctx context.Context) error
	// Shell runs a program in a session of its own whose controlling
	// terminal this is, until it ends, whatever its exit status, and ends
	// what it left running. When ctx ends, so does the program.
	Shell(ctx context.Context, argv, env []string) error
	Close() error
}
