// Package debian takes files out of Debian packages. It asks the machine's
// own apt which version of a package there is, what it depends on, and to
// download and check it; it installs nothing and runs no package's scripts.
//
// It reads apt's lists (through apt-cache), writes downloaded packages into a
// cache folder, and turns a package into a tree.Tree. Nothing needs root.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/step"
)

// Apt is the machine's package tool, with a folder of what it downloaded.
type Apt struct {
	Cache string // downloaded packages and what apt said about them
	// Run runs a program in the folder dir and gives its standard output;
	// RunProgram but for tests.
	Run func(ctx context.Context, dir, program string, args ...string) ([]byte, error)
	// State lists the files and folders of which apt's answers are made;
	// where none of them has changed apt is not asked again.
	State []string
	Pause time.Duration // before a download is tried again
	// Options go before every apt command, as -o APT::Architecture=arm64.
	Options []string
}

// DefaultCache is the folder for downloaded packages of the user.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "psyopsOS", "debs"), err
}

// New is the machine's apt with its downloads in cache.
func New(cache string) Apt {
	return Apt{Cache: cache, Run: RunProgram, State: []string{"/var/lib/apt/lists", "/etc/apt"}, Pause: time.Second}
}

// RunProgram runs a program; its error has what the program said.
func RunProgram(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out, err
}

const updateHint = "bring apt's lists up to date: run `apt-get update` as root"

// show asks for the newest version of each package. What is installed on the
// build machine plays no part: State::status is an empty file.
func (a Apt) show(ctx context.Context, names ...string) (map[string]Package, error) {
	args := append([]string{"-o", "Dir::State::status=/dev/null"}, a.Options...)
	args = append(append(args, "show", "--no-all-versions"), names...)
	text, err := a.Run(ctx, "", "apt-cache", args...)
	if errors.Is(err, exec.ErrNotFound) {
		return nil, step.WithHint(err, "this userland is made of Debian packages and needs apt: use a Debian or Ubuntu machine or container")
	}
	// Where apt-cache knows none of the names that is a failure to it, but an
	// answer here.
	if err != nil && !strings.Contains(err.Error(), "No packages found") {
		return nil, step.WithHint(err, updateHint)
	}
	packages, err := ParsePackages(text)
	known := map[string]Package{}
	for _, p := range packages {
		known[p.Name] = p
	}
	return known, err
}
