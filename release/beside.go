package release

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"psyopsOS/layout"
)

// MaxSignatures bounds how many signatures of one file are looked at.
const MaxSignatures = 16

// A Beside is a signature that lies beside its file: Suffix is what follows
// FILE.minisig in its name, "" of the first and ".KEYID" of each further one.
type Beside struct {
	Suffix string
	Text   []byte
}

// Texts are the signatures alone.
func Texts(signatures []Beside) [][]byte {
	var texts [][]byte
	for _, s := range signatures {
		texts = append(texts, s.Text)
	}
	return texts
}

// ReadSignatures reads FILE.minisig, which must be there, and
// FILE.minisig.KEYID. name is the first one's.
func ReadSignatures(dir fs.FS, name string) ([]Beside, error) {
	entries, err := fs.ReadDir(dir, path.Dir(name))
	if err != nil {
		return nil, err
	}
	suffixes := []string{""}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), path.Base(name))
		if ok && isKeySuffix(suffix) && e.Type().IsRegular() && len(suffixes) < MaxSignatures {
			suffixes = append(suffixes, suffix)
		}
	}
	var all []Beside
	for _, suffix := range suffixes {
		text, err := readBounded(dir, name+suffix, MaxSignature)
		if suffix == "" && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w (%w)", ErrUnsigned, err)
		}
		if suffix == "" && err == nil && len(text) == 0 {
			return nil, ErrUnsigned
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Beside{suffix, text})
	}
	return all, nil
}

// isKeySuffix reports whether suffix is "." and a key id.
func isKeySuffix(suffix string) bool {
	return len(suffix) == 17 && suffix[0] == '.' && strings.Trim(suffix[1:], "0123456789ABCDEF") == ""
}

// IsManifestSignature reports whether a member of a release's tar is a
// signature of its manifest: the first, or a further one for a threshold.
func IsManifestSignature(name string) bool {
	suffix, ok := strings.CutPrefix(name, layout.ManifestSignature)
	return ok && (suffix == "" || isKeySuffix(suffix))
}

// SignAll signs with each key, as sign does it: the first signature has no
// suffix, and each further one that of its key. One key counts once, so a
// second time it is refused.
func SignAll(keys []SecretKey, sign func(SecretKey) ([]byte, error)) ([]Beside, error) {
	var all []Beside
	var used []PublicKey
	for i, key := range keys {
		public, err := key.Public()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(used, func(k PublicKey) bool { return k.SameKey(public) || k.ID() == public.ID() }) {
			return nil, malformed("list of signing keys", "key %s is there twice", public.ID())
		}
		used = append(used, public)
		text, err := sign(key)
		if err != nil {
			return nil, err
		}
		suffix := ""
		if i > 0 {
			suffix = "." + public.ID()
		}
		all = append(all, Beside{suffix, text})
	}
	return all, nil
}
