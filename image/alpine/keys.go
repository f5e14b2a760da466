package alpine

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // Alpine's indexes are signed so
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"psyopsOS/step"
)

// Keys are public keys by the names of their files, by which signatures name
// them.
type Keys map[string]*rsa.PublicKey

// ReadKeys reads all files NAME.pub of a folder.
func ReadKeys(fsys fs.FS) (Keys, error) {
	names, err := fs.Glob(fsys, "*.pub")
	if err != nil {
		return nil, err
	}
	keys := Keys{}
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err == nil {
			keys[name], err = ParseKey(text)
		}
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", name, err)
		}
	}
	if len(keys) == 0 {
		return nil, step.WithHint(errors.New("no keys in the folder"), "put the repository's public keys there, NAME.rsa.pub each")
	}
	return keys, nil
}

// minKeyBits refuses keys that somebody could find out.
const minKeyBits = 2048

// ParseKey reads an RSA public key in PEM.
func ParseKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	any, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := any.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a %T and no RSA key", any)
	}
	if key.N.BitLen() < minKeyBits {
		return nil, fmt.Errorf("only %d bits", key.N.BitLen())
	}
	return key, nil
}

// RenderKey is the file of a public key.
func RenderKey(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

// signatureHash takes ".SIGN.RSA256.NAME" apart.
func signatureHash(member string) (hash crypto.Hash, key string, ok bool) {
	rest, ok := strings.CutPrefix(member, ".SIGN.")
	kind, key, found := strings.Cut(rest, ".")
	hash = map[string]crypto.Hash{"RSA": crypto.SHA1, "RSA256": crypto.SHA256, "RSA512": crypto.SHA512}[kind]
	return hash, key, ok && found && hash != 0 && path.Base(key) == key
}

// verify wants one signature by a known key. A bad signature under the name
// of a known key is refused also where another one is good.
func (k Keys) verify(signatures map[string][]byte, signed []byte) error {
	good, by := false, []string{}
	for _, member := range slices.Sorted(maps.Keys(signatures)) {
		hash, name, ok := signatureHash(member)
		if !ok {
			continue
		}
		by = append(by, name)
		key := k[name]
		if key == nil {
			continue
		}
		h := hash.New()
		h.Write(signed)
		if err := rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), signatures[member]); err != nil {
			return fmt.Errorf("the signature by %s does not fit: %w", name, err)
		}
		good = true
	}
	if !good {
		return step.WithHint(fmt.Errorf("signed by [%s], trusted are [%s]", strings.Join(by, " "), strings.Join(slices.Sorted(maps.Keys(k)), " ")),
			"if you trust that key, put it into the repository's folder of keys")
	}
	return nil
}
