package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/uio/ulog"
)

// CommandsDir is the folder, in psyopsOS's source, of the Go module whose tool
// lines are the commands of the emergency shell. It is a module of its own so
// that what they import is pinned without weighing on ours.
const CommandsDir = "u-root-config/commands"

// commandTags keep gosh, should somebody add it, without its line editors: on a
// serial line those draw the whole line again for each key, and they are large.
var commandTags = []string{"goshsmall"}

// commandLinks are what programs call that name a command by its place.
var commandLinks = []cpio.Record{cpio.Symlink("bin/sh", "../bbin/sh")}

// commandsProgram is the one program in an archive of UrootCommands.
const commandsProgram = "bbin/bb"

// CommandsProgram is the program in an archive that UrootCommands wrote.
func CommandsProgram(archive string) ([]byte, error) {
	content, err := os.ReadFile(archive)
	if err != nil {
		return nil, err
	}
	records, err := readArchive(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", archive, err)
	}
	for _, r := range records {
		if r.Name == commandsProgram {
			return io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		}
	}
	return nil, fmt.Errorf("%s: no %s in it", archive, commandsProgram)
}

// UrootCommands builds the commands of the emergency shell into one program
// and writes to out a cpio archive, not compressed, of bbin/bb and of a link
// for each command. moduleDir is psyopsOS's source. The same source and Go
// release give the same bytes. It takes half a minute when Go's build cache is
// empty, and what is read is only CommandsDir and the module cache: the caller
// keeps out while those are unchanged.
func UrootCommands(ctx context.Context, moduleDir, out string) (err error) {
	dir := filepath.Join(moduleDir, filepath.FromSlash(CommandsDir))
	packages, err := commandPackages(ctx, dir)
	if err != nil {
		return fmt.Errorf("list the commands: %w", err)
	}
	tmp, err := os.MkdirTemp("", "psyopsOS-commands-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	busybox := filepath.Join(tmp, "bb")
	if err := buildBusybox(ctx, dir, packages, filepath.Join(tmp, "gopath"), busybox); err != nil {
		return fmt.Errorf("build the commands: %w", err)
	}
	records, err := commandArchive(busybox, packages)
	if err != nil {
		return err
	}
	return replaceFile(out, func(w io.Writer) error { return writeRecords(ctx, w, records) })
}

// commandPackages asks the go command for the module's tools.
func commandPackages(ctx context.Context, dir string) ([]string, error) {
	output, err := goOutput(ctx, dir, "list", "tool")
	if err != nil {
		return nil, err
	}
	packages := strings.Fields(output)
	if len(packages) == 0 {
		return nil, fmt.Errorf("%s has no tool lines", filepath.Join(dir, "go.mod"))
	}
	return packages, nil
}

// buildBusybox lets u-root's builder rewrite the commands' sources into one
// program, and compiles that with our own settings: the builder's own
// compilation ignores Go's build cache and cannot be interrupted.
func buildBusybox(ctx context.Context, dir string, packages []string, gopath, out string) error {
	goroot, err := goOutput(ctx, dir, "env", "GOROOT")
	if err != nil {
		return err
	}
	if err := os.Mkdir(gopath, 0o755); err != nil {
		return err
	}
	err = bb.BuildBusybox(ulog.Null, &bb.Opts{
		Env: golang.Default(golang.DisableCGO(), golang.WithGOROOT(strings.TrimSpace(goroot)),
			golang.WithGOOS("linux"), golang.WithGOARCH("amd64"), golang.WithGO111MODULE("on"),
			golang.WithMod(golang.ModReadonly), golang.WithBuildTag(commandTags...), golang.WithWorkingDir(dir)),
		CommandPaths: packages,
		GenSrcDir:    gopath,
		BinaryPath:   out,
		GenerateOnly: true,
	})
	if err != nil {
		return err
	}
	return goBuild(ctx, filepath.Join(gopath, "src/bb.u-root.com/bb"),
		[]string{"GO111MODULE=off", "GOPATH=" + gopath},
		"-tags", strings.Join(commandTags, ","), "-gcflags=all=-l", "-ldflags", "-s -w -buildid=", "-o", out, ".")
}

// commandArchive lists the program, a link for each command, and commandLinks.
func commandArchive(busybox string, packages []string) ([]cpio.Record, error) {
	program, err := fileRecord(commandsProgram, busybox, 0o755)
	if err != nil {
		return nil, err
	}
	records := []cpio.Record{cpio.Directory("bbin", 0o755), program}
	for _, p := range slices.Sorted(slices.Values(packages)) {
		records = append(records, cpio.Symlink("bbin/"+path.Base(p), "bb"))
	}
	return append(records, commandLinks...), nil
}

// goOutput runs the go command in dir and returns what it printed.
func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), goEnvironment()...)
	output, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w", strings.Join(args, " "), dir, err)
	}
	return string(output), nil
}
