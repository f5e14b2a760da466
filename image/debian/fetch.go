package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/step"
)

// fetchTries is how often a download is tried: a name look-up may fail once.
const fetchTries = 3

// Fetch downloads what is not yet in the cache, and gives the packages' file
// names in the order of packages. Each file has the hash that apt's signed
// lists tell.
func (a Apt) Fetch(ctx context.Context, report *step.Reporter, packages ...Package) ([]string, error) {
	names := make([]string, len(packages))
	for i, p := range packages {
		names[i] = a.file(p)
	}
	var last error
	for try := range fetchTries {
		missing, size := a.missing(packages)
		if len(missing) == 0 {
			return names, nil
		}
		if try > 0 {
			report.Warn(fmt.Errorf("download again: %w", last))
			wait(ctx, time.Duration(try)*a.Pause)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		report.Note("download %d packages, %s", len(missing), step.Bytes(size))
		if last = a.download(ctx, missing); last == nil {
			return names, nil
		}
	}
	return nil, step.WithHint(fmt.Errorf("download, tried %d times: %w", fetchTries, last),
		"where the archive no longer has this version, %s", updateHint)
}

// file is where the cache has p.
func (a Apt) file(p Package) string {
	return filepath.Join(a.Cache, fmt.Sprintf("%s_%s_%s.deb", p.Name, p.Version, p.Architecture))
}

// missing lists the packages that the cache does not have with the right
// content, and the sum of their sizes.
func (a Apt) missing(packages []Package) (missing []Package, size int64) {
	for _, p := range packages {
		if sum, err := hashFile(a.file(p)); err != nil || sum != p.SHA256 {
			missing = append(missing, p)
			size += p.Size
		}
	}
	return missing, size
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// download has one apt fetch all packages (it takes half a second to start)
// into a folder of its own. Those with the right hash get their names in the
// cache, also where others are missing.
func (a Apt) download(ctx context.Context, packages []Package) (err error) {
	if err := os.MkdirAll(a.Cache, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(a.Cache, ".fetch-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// As root apt would fetch as the user _apt, who may not write here, and
	// complain; its own sandbox adds nothing to a file that is only unpacked.
	args := append([]string{"-q", "-o", "APT::Sandbox::User=root"}, a.Options...)
	args = append(args, "download")
	for _, p := range packages {
		args = append(args, p.String())
	}
	_, err = a.Run(ctx, dir, "apt-get", args...)
	for _, p := range packages {
		err = errors.Join(err, a.accept(dir, p))
	}
	return err
}

// accept gives what apt left in dir for p its name in the cache. apt writes
// the colon of a version's epoch as %3a.
func (a Apt) accept(dir string, p Package) error {
	name := filepath.Base(a.file(p))
	for _, written := range []string{strings.ReplaceAll(name, ":", "%3a"), name} {
		written = filepath.Join(dir, written)
		sum, err := hashFile(written)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && sum != p.SHA256 {
			err = fmt.Errorf("%s has the SHA-256 %s, and apt's lists say %s", p, sum, p.SHA256)
		}
		if err != nil {
			return err
		}
		return os.Rename(written, a.file(p))
	}
	return fmt.Errorf("apt-get download left no file for %s", p)
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}
