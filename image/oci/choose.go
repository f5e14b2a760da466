package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"psyopsOS/step"
)

// findManifest follows d through indexes to the manifest of an image for arch.
func findManifest(ctx context.Context, s store, d v1.Descriptor, name, arch string, depth int) (*v1.Manifest, v1.Descriptor, error) {
	if depth > 4 {
		return nil, d, fmt.Errorf("%s: an index in an index in an index …", d.Digest)
	}
	text, err := readBlob(ctx, s, d)
	if err != nil {
		return nil, d, err
	}
	switch kind, err := kindOf(d, text); {
	case err != nil:
		return nil, d, err
	case kind.IsImage():
		m, err := parse(text, v1.ParseManifest)
		if err != nil {
			err = fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		return m, d, err
	}
	index, err := parse(text, v1.ParseIndexManifest)
	if err != nil {
		return nil, d, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	next, err := choose(index.Manifests, name, arch)
	if err != nil {
		return nil, d, err
	}
	return findManifest(ctx, s, next, "", arch, depth+1)
}

// kindOf is what a blob of metadata is: its descriptor says so, or it does
// itself, where only its digest was known.
func kindOf(d v1.Descriptor, text []byte) (types.MediaType, error) {
	kind := d.MediaType
	if kind == "" {
		var own struct {
			MediaType types.MediaType   `json:"mediaType"`
			Manifests []json.RawMessage `json:"manifests"`
		}
		if err := json.Unmarshal(text, &own); err != nil {
			return "", fmt.Errorf("%s: %w", d.Digest, err)
		}
		switch kind = own.MediaType; {
		case kind == "" && own.Manifests != nil:
			kind = types.OCIImageIndex
		case kind == "":
			kind = types.OCIManifestSchema1
		}
	}
	if !kind.IsImage() && !kind.IsIndex() {
		return "", fmt.Errorf("%s is neither an image nor an index, but a %s", d.Digest, kind)
	}
	return kind, nil
}

// Annotations by which an image in a layout has a name.
func namesOf(d v1.Descriptor) []string {
	var names []string
	for _, key := range []string{"org.opencontainers.image.ref.name", "io.containerd.image.name"} {
		if name := d.Annotations[key]; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// choose finds the one image for arch that is called name, or has it as its
// digest. Of several variants of a processor the oldest is taken: it runs on
// all.
func choose(all []v1.Descriptor, name, arch string) (v1.Descriptor, error) {
	var fit []v1.Descriptor
	var seen []string
	for _, d := range all {
		if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
			continue
		}
		seen = append(seen, describe(d))
		called := name == "" || d.Digest.String() == name || contains(namesOf(d), name)
		if called && (d.Platform == nil || d.Platform.OS == "linux" && d.Platform.Architecture == arch) {
			fit = append(fit, d)
		}
	}
	slices.Sort(seen)
	slices.SortStableFunc(fit, func(a, b v1.Descriptor) int { return strings.Compare(variantOf(a), variantOf(b)) })
	if len(fit) == 1 || len(fit) > 1 && variantOf(fit[0]) != variantOf(fit[1]) {
		return fit[0], nil
	}
	what := "linux/" + arch
	if name != "" {
		what += " called " + name
	}
	if len(fit) == 0 {
		return v1.Descriptor{}, step.WithHint(fmt.Errorf("no image for %s in it; there are: %s", what, strings.Join(seen, ", ")), "name one of these, or another image")
	}
	return v1.Descriptor{}, step.WithHint(fmt.Errorf("%d images for %s in it: %s", len(fit), what, strings.Join(seen, ", ")), "name one of them behind the path: PATH:NAME or PATH@sha256:…")
}

func variantOf(d v1.Descriptor) string {
	if d.Platform == nil {
		return ""
	}
	return d.Platform.Variant
}

func describe(d v1.Descriptor) string {
	words := namesOf(d)
	if d.Platform != nil {
		words = append(words, d.Platform.String())
	}
	if len(words) == 0 {
		words = append(words, d.Digest.String())
	}
	return strings.Join(words, " ")
}

func isImageConfig(kind types.MediaType) bool {
	return kind == types.OCIConfigJSON || kind == types.DockerConfigJSON
}

// checkLayer refuses layers that are not there, or that nobody can read.
func checkLayer(d v1.Descriptor) error {
	switch kind := string(d.MediaType); {
	case strings.Contains(kind, "nondistributable"), strings.Contains(kind, "foreign"):
		return fmt.Errorf("it is not part of the image (%s)", kind)
	case strings.HasSuffix(kind, "+encrypted"):
		return fmt.Errorf("it is encrypted (%s)", kind)
	}
	return checkDigest(d.Digest)
}
