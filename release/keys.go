package release

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// ThresholdFile, in the folder of keys, holds how many different keys must
// have signed. Where it is missing one is enough.
const ThresholdFile = "threshold"

// Keys are the trusted keys, and how many of them must have signed.
type Keys struct {
	keys      []PublicKey // may hold one key under several ids
	threshold int
	anyone    bool // no signature is checked
}

// Anyone believes every signature that has the form of one: for an owner who
// asks for it by name, on one command line. What is read is still held to the
// sizes and hashes that it names itself.
func Anyone() Keys { return Keys{threshold: 1, anyone: true} }

// IsAnyone reports whether k checks no signature at all.
func (k Keys) IsAnyone() bool { return k.anyone }

// NewKeys are keys of which threshold different ones must sign.
func NewKeys(threshold int, keys ...PublicKey) (Keys, error) {
	k := Keys{keys: slices.Clone(keys), threshold: threshold}
	if len(keys) == 0 {
		return Keys{}, ErrNoKeys
	}
	if threshold < 1 || threshold > k.Count() {
		return Keys{}, fmt.Errorf("threshold %d with %d different keys: no file could ever be verified", threshold, k.Count())
	}
	return k, nil
}

// Threshold is how many different keys must have signed.
func (k Keys) Threshold() int { return k.threshold }

// Count is the number of different keys.
func (k Keys) Count() int {
	n := 0
	for i, key := range k.keys {
		if !slices.ContainsFunc(k.keys[:i], key.SameKey) {
			n++
		}
	}
	return n
}

// All lists the keys as they were given.
func (k Keys) All() []PublicKey { return slices.Clone(k.keys) }

// With is k with more keys and the same threshold.
func (k Keys) With(more ...PublicKey) Keys {
	return Keys{keys: slices.Concat(k.keys, more), threshold: max(1, k.threshold), anyone: k.anyone}
}

// candidates are the keys that a signature's id names.
func (k Keys) candidates(id [8]byte) []PublicKey {
	var found []PublicKey
	for _, key := range k.keys {
		if key.key.KeyId == id {
			found = append(found, key)
		}
	}
	return found
}

func (k Keys) ids() []string {
	var ids []string
	for _, key := range k.keys {
		if !slices.Contains(ids, key.ID()) {
			ids = append(ids, key.ID())
		}
	}
	return ids
}

// ReadKeys reads the keys that an image or an initramfs trusts from its root:
// layout.KeysDir/*.pub, with the threshold beside them, and layout.PublicKey.
// A key file that cannot be read is an error: leaving it out would weaken or
// break a threshold in silence.
func ReadKeys(root fs.FS) (Keys, error) {
	dir := strings.TrimPrefix(layout.KeysDir, "/")
	names, err := fs.Glob(root, path.Join(dir, "*.pub"))
	if err != nil {
		return Keys{}, fmt.Errorf("list the keys in /%s: %w", dir, err)
	}
	if name := strings.TrimPrefix(layout.PublicKey, "/"); exists(root, name) {
		names = append(names, name)
	}
	var keys []PublicKey
	for _, name := range names {
		text, err := readBounded(root, name, maxPublicKey)
		if err != nil {
			return Keys{}, err
		}
		key, err := ParsePublicKey(text)
		if err != nil {
			return Keys{}, fmt.Errorf("/%s: %w", name, err)
		}
		keys = append(keys, key)
	}
	threshold, err := readThreshold(root, path.Join(dir, ThresholdFile))
	if err != nil {
		return Keys{}, err
	}
	k, err := NewKeys(threshold, keys...)
	return k, step.WithHint(err, "put the release's public keys into %s/*.pub or %s", layout.KeysDir, layout.PublicKey)
}

func readThreshold(root fs.FS, name string) (int, error) {
	if !exists(root, name) {
		return 1, nil
	}
	text, err := readBounded(root, name, 16)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("/%s: %q is not a number of keys", name, text)
	}
	return n, nil
}

// exists is true for whatever might be there: only a clear "no" is a no.
func exists(root fs.FS, name string) bool {
	_, err := fs.Stat(root, name)
	return !errors.Is(err, fs.ErrNotExist)
}

func readBounded(root fs.FS, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("read /%s: more than %d bytes", name, limit)
	}
	return text, nil
}
