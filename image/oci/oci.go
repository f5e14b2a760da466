// Package oci makes a root file system of a container image: of an OCI layout
// (a folder), of an archive as `docker save` and `skopeo` write them, or of a
// registry. It takes the image's layers and nothing else: entry point,
// environment and user are a container runtime's business.
//
// Every byte is checked against the digest that led to it, from the image's
// own down to each layer, compressed and uncompressed. What a registry sent is
// kept in a cache folder by digest: an image that is named by its digest is
// built without the network from then on.
//
// go-containerregistry has its door here: its types, and its registry client.
package oci

import (
	"context"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"psyopsOS/step"
)

// Options say which of several images is meant, and where to look.
type Options struct {
	Architecture string // as Go names it; empty: amd64
	Cache        string // folder for what registries sent
	MaxSize      int64  // of all layers, uncompressed; 0: 16 GiB
	Remote       []remote.Option
}

// An Image is one image for one machine. Its layers have not been read yet.
type Image struct {
	Ref    string // what it was asked for by
	Pinned string // a reference that will always mean this image; empty where there is none
	Digest string // of its manifest; of its configuration where it has no manifest

	store   store
	layers  []layer
	maxSize int64
}

// A layer is a tar, compressed or not.
type layer struct {
	blob   v1.Descriptor // the digest is empty where only the content's is known
	diffID v1.Hash       // the digest of the tar
}

// A store has blobs by digest.
type store interface {
	// open opens a blob. Nothing that it gives has been verified.
	open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

// More is refused: the metadata of an image of this world has a few KiB, and
// its files must fit into a machine's memory.
const (
	maxMetadata = 4 << 20
	maxLayers   = 1000
	maxFiles    = 2_000_000
	maxSize     = 16 << 30
)

// Open finds the image that ref names: a layout's folder, an archive, either
// with :NAME or @sha256:… behind it where it holds several, or a registry's
// reference. The image's metadata is read, and verified.
func Open(ctx context.Context, ref string, o Options) (*Image, error) {
	if o.Architecture == "" {
		o.Architecture = "amd64"
	}
	i, err := open(ctx, ref, o)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	i.Ref, i.maxSize = ref, o.MaxSize
	if i.maxSize == 0 {
		i.maxSize = maxSize
	}
	return i, nil
}

func open(ctx context.Context, ref string, o Options) (*Image, error) {
	if path, name, local := onDisk(ref); local {
		return openLocal(ctx, path, name, o)
	}
	return openRegistry(ctx, ref, o)
}

// imageOf reads manifest and configuration of the image that d leads to, maybe
// through indexes. name chooses among several; empty for any.
func imageOf(ctx context.Context, s store, d v1.Descriptor, name string, o Options) (*Image, error) {
	manifest, d, err := findManifest(ctx, s, d, name, o.Architecture, 0)
	if err != nil {
		return nil, err
	}
	if !isImageConfig(manifest.Config.MediaType) {
		return nil, fmt.Errorf("%s is no container image, but a %s", d.Digest, manifest.Config.MediaType)
	}
	text, err := readBlob(ctx, s, manifest.Config)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	diffIDs, err := parseConfig(text, o.Architecture)
	if err != nil {
		return nil, err
	}
	i := &Image{Digest: d.Digest.String(), store: s}
	for n, blob := range manifest.Layers {
		if err := checkLayer(blob); err != nil {
			return nil, fmt.Errorf("layer %d: %w", n+1, err)
		}
		i.layers = append(i.layers, layer{blob: blob})
	}
	return i, i.takeDiffIDs(diffIDs)
}

// takeDiffIDs says what each layer is uncompressed.
func (i *Image) takeDiffIDs(diffIDs []v1.Hash) error {
	if len(diffIDs) != len(i.layers) || len(diffIDs) > maxLayers {
		return fmt.Errorf("the configuration tells of %d layers, the image has %d; %d are taken at most", len(diffIDs), len(i.layers), maxLayers)
	}
	for n := range i.layers {
		if diffIDs[n].Algorithm != "sha256" {
			return fmt.Errorf("layer %d has the digest %s, and only sha256 is known", n+1, diffIDs[n])
		}
		i.layers[n].diffID = diffIDs[n]
	}
	return nil
}

// parseConfig takes the layers' digests from an image's configuration, which
// must be one for Linux on arch.
func parseConfig(text []byte, arch string) ([]v1.Hash, error) {
	c, err := parse(text, v1.ParseConfigFile)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if c.OS != "" && c.OS != "linux" || c.Architecture != "" && c.Architecture != arch {
		return nil, step.WithHint(fmt.Errorf("this image is for %s/%s and not for linux/%s", c.OS, c.Architecture, arch),
			"name an image for that machine, or an index that has one")
	}
	return slices.Clone(c.RootFS.DiffIDs), nil
}
