package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/release"
)

// A source is what the build is made from.
type source struct {
	Revision string    // of git; empty outside a checkout
	Dirty    bool      // there are changes that no commit holds
	Time     time.Time // of the release, UTC, whole seconds
}

func (s source) version() string { return release.Version(s.Time) }

// isoJSON is layout.IsoJSON: when and from what the image was made.
func (s source) isoJSON() ([]byte, error) {
	type generated struct {
		ISO8601  string `json:"iso8601"`
		Revision string `json:"revision"`
		Dirty    bool   `json:"dirty"`
	}
	data, err := json.MarshalIndent(map[string]generated{"generated": {s.Time.Format(time.RFC3339), s.Revision, s.Dirty}}, "", " ")
	return append(data, '\n'), err
}

// readSource decides the release's time: build.epoch (SOURCE_DATE_EPOCH), else the commit's
// time of a clean tree, else the clock. The clock is looked at only when the
// tree has changed since the last build in out, so that building twice in a
// row builds once.
func readSource(ctx context.Context, root, out string, set *settings.Settings, now time.Time) (source, error) {
	s := source{Time: now.UTC().Truncate(time.Second)}
	revision, err := git(ctx, root, "rev-parse", "HEAD")
	inGit := err == nil
	if inGit {
		s.Revision = revision
		status, err := git(ctx, root, "status", "--porcelain", "--untracked-files=normal")
		if err != nil {
			return source{}, err
		}
		s.Dirty = status != ""
	} else {
		s.Revision, s.Dirty = strings.CutSuffix(set.Text("build.revision"), "-dirty")
	}
	if epoch := set.Text("build.epoch"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return source{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", epoch)
		}
		s.Time = time.Unix(seconds, 0).UTC()
		return s, nil
	}
	if !inGit {
		return s, nil // nothing tells whether the tree has changed
	}
	if !s.Dirty {
		seconds, err := git(ctx, root, "log", "-1", "--format=%ct")
		if err != nil {
			return source{}, err
		}
		t, err := strconv.ParseInt(seconds, 10, 64)
		s.Time = time.Unix(t, 0).UTC()
		return s, err
	}
	return s.sticky(ctx, root, out)
}

// sticky is s with the time of the last build from the very same tree, if
// there was one.
func (s source) sticky(ctx context.Context, root, out string) (source, error) {
	fingerprint, err := treeFingerprint(ctx, root, s.Revision)
	if err != nil {
		return source{}, err
	}
	name := filepath.Join(out, "version.json")
	var last struct {
		Fingerprint string
		Time        time.Time
	}
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return source{}, err
	}
	if json.Unmarshal(data, &last) == nil && last.Fingerprint == fingerprint {
		s.Time = last.Time
		return s, nil
	}
	last.Fingerprint, last.Time = fingerprint, s.Time
	if data, err = json.Marshal(last); err != nil {
		return source{}, err
	}
	return s, errors.Join(os.MkdirAll(out, 0o755), os.WriteFile(name, data, 0o644))
}

// treeFingerprint tells one state of the working tree from another, by the
// commit and by size and time of every file that differs from it.
func treeFingerprint(ctx context.Context, root, revision string) (string, error) {
	changed, err := git(ctx, root, "ls-files", "--modified", "--deleted", "--others", "--exclude-standard", "-z")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(revision)
	for name := range strings.SplitSeq(strings.TrimRight(changed, "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil {
			fmt.Fprintf(&b, "\n%s gone", name)
			continue
		}
		fmt.Fprintf(&b, "\n%s %d %d", name, info.Size(), info.ModTime().UnixNano())
	}
	staged, err := git(ctx, root, "diff", "--cached", "--raw")
	b.WriteString("\n" + staged)
	return b.String(), err
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
