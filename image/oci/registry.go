package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"psyopsOS/step"
)

// registryStore has the blobs of a repository: those that it was asked for
// lie in the cache.
type registryStore struct {
	repo    name.Repository
	cache   string
	options []remote.Option
}

func openRegistry(ctx context.Context, ref string, o Options) (*Image, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return nil, step.WithHint(err, "a reference is REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…; a path that is no plain name begins with ./ or /")
	}
	if o.Cache == "" {
		return nil, errors.New("no cache folder for what the registry sends")
	}
	s := registryStore{r.Context(), o.Cache, append([]remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("psyopsOS-tk")}, o.Remote...)}
	d, err := s.resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	i, err := imageOf(ctx, s, d, "", o)
	if err != nil {
		return nil, err
	}
	i.Pinned = r.Context().Digest(i.Digest).String()
	return i, nil
}

// resolve finds what a reference means now. A digest means itself.
func (s registryStore) resolve(ctx context.Context, r name.Reference) (v1.Descriptor, error) {
	if digest, ok := r.(name.Digest); ok {
		h, err := v1.NewHash(digest.DigestStr())
		return v1.Descriptor{Digest: h}, err
	}
	got, err := remote.Get(r, s.with(ctx)...)
	if err != nil {
		return v1.Descriptor{}, step.WithHint(fmt.Errorf("ask the registry what it is: %w", err),
			"a reference by digest (NAME@sha256:…) needs no registry once the image is in the cache")
	}
	d := got.Descriptor
	return v1.Descriptor{Digest: d.Digest, MediaType: d.MediaType, Size: d.Size}, nil
}

func (s registryStore) with(ctx context.Context) []remote.Option {
	return append([]remote.Option{remote.WithContext(ctx)}, s.options...)
}

func (s registryStore) file(h v1.Hash) string {
	return filepath.Join(s.cache, "blobs", h.Algorithm, h.Hex)
}

// open opens a blob in the cache, into which it is fetched where it is not.
func (s registryStore) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	if err := s.fetch(ctx, d, func(int64) {}); err != nil {
		return nil, err
	}
	return os.Open(s.file(d.Digest))
}

// fetch puts a blob into the cache. It gets its name there when it has been
// verified; one of another size is none.
func (s registryStore) fetch(ctx context.Context, d v1.Descriptor, got func(bytes int64)) (err error) {
	if info, err := os.Stat(s.file(d.Digest)); err == nil && (d.Size == 0 || info.Size() == d.Size) {
		got(info.Size())
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("fetch %s from %s: %w", d.Digest, s.repo, err)
		}
	}()
	from, err := s.remote(ctx, d)
	if err != nil {
		return err
	}
	defer from.Close()
	dir := filepath.Dir(s.file(d.Digest))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".fetch-")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, verified(counter{limit(from, maxSize), got}, d.Digest, d.Size))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), s.file(d.Digest))
}

// remote opens a blob or a manifest at the registry: these lie at different
// addresses.
func (s registryStore) remote(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	at := s.repo.Digest(d.Digest.String())
	if d.MediaType == "" || d.MediaType.IsImage() || d.MediaType.IsIndex() {
		got, err := remote.Get(at, s.with(ctx)...)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(got.Manifest)), nil
	}
	l, err := remote.Layer(at, s.with(ctx)...)
	if err != nil {
		return nil, err
	}
	return l.Compressed()
}

// atOnce is how many layers are fetched at the same time.
const atOnce = 4

// Fetch has everything that the image needs on this machine.
func (i *Image) Fetch(ctx context.Context, progress func(done, total int64)) error {
	s, ok := i.store.(registryStore)
	if !ok {
		return nil
	}
	var total int64
	for _, l := range i.layers {
		total += l.blob.Size
	}
	count := make(chan int64)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		var done int64
		for n := range count {
			done += n
			progress(done, total)
		}
	}()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, l := range i.layers {
		group.Go(func() error { return s.fetch(ctx, l.blob, func(n int64) { count <- n }) })
	}
	err := group.Wait()
	close(count)
	<-finished
	return err
}
