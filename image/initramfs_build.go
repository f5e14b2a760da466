package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// BuildInit builds PID 1 from the folder init of the module at moduleDir:
// static, without this machine's paths, and the same bytes for the same
// source. commit is what it tells as its version. Tags are for tests.
func BuildInit(ctx context.Context, moduleDir, commit, out string, tags ...string) error {
	flags := "-s -w -buildid= -X main.commit=" + commit
	args := append(notInlined(), "-tags", strings.Join(append([]string{withoutHTTP2}, tags...), ","), "-ldflags", flags, "-o", out, "./init")
	return goBuild(ctx, moduleDir, nil, args...)
}

// notInlined has the compiler inline no functions in the packages that only
// neuralupgrade runs: they wait for networks and disks. That takes 400 KiB off
// the binary, 200 KiB packed. What the boot runs stays as fast as it was.
func notInlined() (args []string) {
	for _, packages := range []string{
		"psyopsOS/upgrade", "psyopsOS/repo",
		"net", "net/http", "net/http/...", "vendor/golang.org/x/...", "mime/...",
		"crypto/tls", "crypto/tls/...", "crypto/x509", "crypto/x509/...",
		"crypto/internal/fips140/nistec/...", "crypto/internal/fips140/mlkem", "crypto/internal/fips140/rsa", "crypto/internal/fips140/ecdsa",
		"encoding/asn1", "math/big", "compress/...", "github.com/BurntSushi/toml",
	} {
		args = append(args, "-gcflags="+packages+"=-l")
	}
	return args
}

// withoutHTTP2 is net/http's own tag. One file at a time is fetched, for which
// HTTP/1.1 is as good, and it saves 390 kB, or 130 kB of the initramfs.
const withoutHTTP2 = "nethttpomithttp2"

// goBuild runs `go build` in dir for a static program of the machines that we
// boot, without the paths of this one.
func goBuild(ctx context.Context, dir string, environment []string, args ...string) error {
	args = append([]string{"build", "-trimpath", "-buildvcs=false"}, args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = slices.Concat(os.Environ(), goEnvironment(), environment)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), dir, err, output)
	}
	return nil
}

// goEnvironment takes out of the caller's environment what would change the
// result.
func goEnvironment() []string {
	return []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT="}
}
