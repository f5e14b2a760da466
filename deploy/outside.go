package deploy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Command is a look from outside by the user's own command, which sh runs here.
// Its words know the node by variables. It is well when it ends with 0.
func Command(line string, environment []string) func(ctx context.Context, h Host, version string) error {
	return func(ctx context.Context, h Host, version string) error {
		said := &tail{most: 2 << 10}
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Env = append(environment, "TK_NODE="+h.Name, "TK_ADDRESS="+h.Addresses[0], "TK_VERSION="+version)
		cmd.Stdout, cmd.Stderr = said, said
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 2 * time.Second
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(said.String()))
		}
		return nil
	}
}
