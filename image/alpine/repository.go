package alpine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"psyopsOS/step"
)

// A Repository is a place with packages.
type Repository struct {
	Address string // http://…, https:// … or a folder; below it lie folders for architectures
	Tag     string // where it has one, only what world asks for with @TAG comes from it
	Keys    Keys   // who may sign its index
}

// A Client reads repositories of one architecture.
type Client struct {
	Cache   string // folder
	Base    string // where repositories begin that are relative folders
	Arch    string // as apk calls it: x86_64, aarch64
	Offline bool   // nothing but the cache is read
	Do      func(*http.Request) (*http.Response, error)
}

// DefaultCache is the folder for downloaded packages of the user.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "psyopsOS", "apks"), err
}

const indexName = "APKINDEX.tar.gz"

// ParseRepository reads "@tag address" or "address", as /etc/apk/repositories
// has them.
func ParseRepository(line string) (Repository, error) {
	r := Repository{Address: strings.TrimSpace(line)}
	if tag, rest, ok := strings.Cut(r.Address, " "); ok && strings.HasPrefix(tag, "@") {
		r.Tag, r.Address = tag[1:], strings.TrimSpace(rest)
	}
	scheme, _, web := strings.Cut(r.Address, "://")
	if r.Address == "" || strings.ContainsAny(r.Address, " \t\n") || web && scheme != "http" && scheme != "https" {
		return Repository{}, step.WithHint(fmt.Errorf("repository %q is no address", line), "http://…, https://… or a folder")
	}
	r.Address = strings.TrimRight(r.Address, "/")
	return r, nil
}

// Available lists the packages of all repositories. Indexes are fetched
// anew; offline, and where a repository does not answer, those in the cache
// are taken, whose signatures are checked again.
func (c Client) Available(ctx context.Context, report *step.Reporter, repositories []Repository) ([]Package, error) {
	var all []Package
	for _, r := range repositories {
		packages, err := c.index(ctx, report, r)
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.Address, err)
		}
		all = append(all, packages...)
	}
	return all, nil
}

func (c Client) index(ctx context.Context, report *step.Reporter, r Repository) ([]Package, error) {
	cached := filepath.Join(c.folder(r.Address), indexName)
	if !c.Offline {
		err := c.get(ctx, r.Address, indexName, cached, maxIndex, func(name string) error {
			_, err := c.readIndex(name, r)
			return err
		})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var down unreachable
		if err != nil && !(errors.As(err, &down) && exists(cached)) {
			return nil, err
		}
		if err != nil {
			report.Warn(fmt.Errorf("repository %s: the index of the last time is used: %w", r.Address, err))
		}
	}
	packages, err := c.readIndex(cached, r)
	if errors.Is(err, fs.ErrNotExist) {
		err = step.WithHint(fmt.Errorf("its index is not in the cache: %w", err), "build once without --offline")
	}
	return packages, err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// readIndex checks and reads an index, and leaves out packages for other
// machines.
func (c Client) readIndex(name string, r Repository) ([]Package, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	index, err := ReadIndex(file, r.Keys)
	if err != nil {
		return nil, err
	}
	var packages []Package
	for _, p := range index.Packages {
		if p.Arch == c.Arch || p.Arch == "noarch" || p.Arch == "all" {
			p.Repository, p.Tag = r.Address, r.Tag
			packages = append(packages, p)
		}
	}
	return packages, nil
}

// place is an address that means the same everywhere.
func (c Client) place(address string) string {
	if isWeb(address) || filepath.IsAbs(address) {
		return address
	}
	return filepath.Join(c.Base, filepath.FromSlash(address))
}

func isWeb(address string) bool { return strings.Contains(address, "://") }

// folder is where the cache has a repository's files.
func (c Client) folder(address string) string {
	sum := sha256.Sum256([]byte(c.place(address)))
	return filepath.Join(c.Cache, fmt.Sprintf("%x", sum[:8]), c.Arch)
}

// file is where the cache has p: by its checksum, so that two packages of one
// name and version do not meet.
func (c Client) file(p Package) string {
	return filepath.Join(c.folder(p.Repository), fmt.Sprintf("%s.%x.apk", p, p.Checksum[:6]))
}

// Fetch gives the packages' files, in their order. What the cache has is
// checked like what is downloaded.
func (c Client) Fetch(ctx context.Context, report *step.Reporter, packages []Package) ([]File, error) {
	files := make([]File, len(packages))
	var missing []int
	var size, done int64
	for i, p := range packages {
		var err error
		if files[i], err = Open(c.file(p), p); err != nil {
			missing = append(missing, i)
			size += p.Size
		}
	}
	if len(missing) > 0 && c.Offline {
		absent := make([]Package, len(missing))
		for i, at := range missing {
			absent[i] = packages[at]
		}
		return nil, notCached(absent)
	}
	for _, i := range missing {
		report.Progress(done, size)
		p := packages[i]
		err := c.get(ctx, p.Repository, p.File(), c.file(p), p.Size, func(name string) error {
			_, err := Open(name, p)
			return err
		})
		if err == nil {
			files[i], err = Open(c.file(p), p)
		}
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", p.Repository, err)
		}
		done += p.Size
	}
	return files, nil
}

// notCached is the error of an offline build that lacks packages.
func notCached[P fmt.Stringer](packages []P) error {
	names := make([]string, len(packages))
	for i, p := range packages {
		names[i] = p.String()
	}
	return step.WithHint(fmt.Errorf("%d packages are not in the cache: %s", len(names), strings.Join(names, " ")), "build once without --offline")
}

// get brings a file of a repository into the cache. It has another name there
// until check has found it good.
func (c Client) get(ctx context.Context, address, name, to string, limit int64, check func(name string) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(to), ".unverified-")
	if err != nil {
		return err
	}
	defer func() {
		if gone := os.Remove(temp.Name()); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	err = c.copyTo(ctx, temp, address, path.Join(c.Arch, name), limit)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	if err := check(temp.Name()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.Rename(temp.Name(), to)
}

func (c Client) copyTo(ctx context.Context, w io.Writer, address, name string, limit int64) error {
	r, err := c.open(ctx, address, name)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	if err != nil {
		err = unreachable{fmt.Errorf("read %s: %w", name, err)}
	} else if n > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return errors.Join(err, r.Close())
}

// unreachable says that a repository did not answer, or not to the end.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

func (c Client) open(ctx context.Context, address, name string) (io.ReadCloser, error) {
	if !isWeb(address) {
		return os.Open(filepath.Join(c.place(address), filepath.FromSlash(name)))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.Do(request)
	if err != nil {
		return nil, unreachable{err}
	}
	if answer.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s: the server says %s", request.URL, answer.Status)
		if answer.StatusCode >= http.StatusInternalServerError {
			err = unreachable{err}
		}
		return nil, errors.Join(err, answer.Body.Close())
	}
	return answer.Body, nil
}
