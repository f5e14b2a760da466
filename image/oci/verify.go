package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// parse has a parser of metadata read text. The library's parsers take the
// first JSON value of a stream and ignore what follows.
func parse[T any](text []byte, parser func(io.Reader) (T, error)) (T, error) {
	var none T
	if !json.Valid(text) {
		return none, errors.New("this is no JSON")
	}
	return parser(bytes.NewReader(text))
}

func parseDockerManifest(r io.Reader) (m tarball.Manifest, err error) {
	err = json.NewDecoder(r).Decode(&m)
	return m, err
}

// readBlob reads a blob of metadata, which must be what its digest says. A
// size of 0 is one that nobody knows.
func readBlob(ctx context.Context, s store, d v1.Descriptor) ([]byte, error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	r, err := s.open(ctx, d)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(limit(r, maxMetadata))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if d.Size > 0 && int64(len(text)) != d.Size {
		return nil, fmt.Errorf("%s has %d bytes and should have %d", d.Digest, len(text), d.Size)
	}
	if sum := sha256Of(text); sum != d.Digest {
		return nil, fmt.Errorf("%s is damaged or was exchanged: its content has the digest %s", d.Digest, sum)
	}
	return text, nil
}

// checkDigest refuses what we cannot verify, and what is no file name.
func checkDigest(h v1.Hash) error {
	if _, err := hex.DecodeString(h.Hex); h.Algorithm != "sha256" || len(h.Hex) != 2*sha256.Size || err != nil {
		return fmt.Errorf("the digest %q is not a sha256 one", h)
	}
	return nil
}

func sha256Of(text []byte) v1.Hash {
	sum := sha256.Sum256(text)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// verified reads r and gives an error in the place of its end, where r was not
// what was wanted. A size of 0 is one that nobody knows; more bytes than size
// are never read.
func verified(r io.Reader, want v1.Hash, size int64) io.Reader {
	return &verifier{r, sha256.New(), want, size, 0}
}

type verifier struct {
	io.Reader
	hash.Hash
	want       v1.Hash
	size, read int64
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	v.read += int64(n)
	v.Hash.Write(p[:n])
	if v.size > 0 && v.read > v.size || err == io.EOF && v.size > 0 && v.read != v.size {
		return n, fmt.Errorf("%s has not the %d bytes that it should have", v.want, v.size)
	}
	if sum := hex.EncodeToString(v.Hash.Sum(nil)); err == io.EOF && sum != v.want.Hex {
		return n, fmt.Errorf("%s is damaged or was exchanged: its content has the digest sha256:%s", v.want, sum)
	}
	return n, err
}

func (v *verifier) Write([]byte) (int, error) { return 0, errors.New("a verifier is read only") }

// limit gives an error behind so many bytes.
func limit(r io.Reader, bytes int64) io.Reader { return &limiter{r, bytes, bytes} }

type limiter struct {
	io.Reader
	left, bytes int64
}

func (l *limiter) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.Reader.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("more than the %d bytes that are taken at most", l.bytes)
	}
	return n, err
}
