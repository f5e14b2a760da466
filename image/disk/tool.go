package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"psyopsOS/step"
)

// tools runs the programs that make filesystems, all with the same clock.
type tools struct{ now time.Time }

// environment holds nothing of the caller's but PATH, to which the folders of
// system programs are added: a normal user of Debian does not have them.
func (t tools) environment() []string {
	now := strconv.FormatInt(t.now.Unix(), 10)
	return []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin:/usr/bin:/bin",
		"LC_ALL=C", "TZ=UTC",
		"SOURCE_DATE_EPOCH=" + now,   // mtools; e2fsprogs from 1.47.1 on
		"E2FSPROGS_FAKE_TIME=" + now, // e2fsprogs before
		"MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1", "MTOOLS_NO_VFAT=0",
		"MTOOLS_LOWER_CASE=0", "MTOOLS_NAME_NUMERIC_TAIL=1",
	}
}

// run runs a program and returns what it wrote to its two outputs.
func (t tools) run(ctx context.Context, stdin io.Reader, name string, args ...string) (out, errOut string, err error) {
	return t.runIn(ctx, "", stdin, name, args...)
}

func (t tools) runIn(ctx context.Context, dir string, stdin io.Reader, name string, args ...string) (out, errOut string, err error) {
	program, err := find(name)
	if err != nil {
		return "", "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = t.environment(), stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		err = fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, strings.TrimSpace(stdout.String()+stderr.String()))
		return "", "", withRoomHint(err)
	}
	return stdout.String(), stderr.String(), nil
}

// withRoomHint says what to do where a program's words mean that the filesystem
// is too small.
func withRoomHint(err error) error {
	for _, words := range []string{"Could not allocate", "too big for filesystem", "too small", "No space"} {
		if strings.Contains(err.Error(), words) {
			return step.WithHint(err, "give the volume more room")
		}
	}
	return err
}

// find looks a program up in PATH and in the folders of system programs.
func find(name string) (string, error) {
	program, err := exec.LookPath(name)
	if err == nil {
		return program, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", step.WithHint(fmt.Errorf("no program %s in PATH, /usr/sbin, /sbin", name),
			"install mtools, dosfstools and e2fsprogs")
	}
	return "", err
}
