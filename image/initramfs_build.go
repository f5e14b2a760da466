package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// BuildInit builds PID 1 from the folder init of the module at moduleDir:
// static, without this machine's paths, and the same bytes for the same
// source. commit is what it tells as its version.
func BuildInit(ctx context.Context, moduleDir, commit, out string) error {
	flags := "-s -w -buildid= -X main.commit=" + commit
	return goBuild(ctx, moduleDir, "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, "./init")
}

// goBuild runs the go command in dir for a static program of this kind of
// machine. Settings of the caller's environment that would change the result
// are taken out.
func goBuild(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), goEnvironment()...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), dir, err, output)
	}
	return nil
}

func goEnvironment() []string {
	return []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT="}
}
