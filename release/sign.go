package release

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"

	aead "aead.dev/minisign"
	"golang.org/x/crypto/blake2b"

	"psyopsOS/step"
)

// A SecretKey signs. It prints as [private].
type SecretKey struct{ key aead.PrivateKey }

func (SecretKey) String() string             { return "[private]" }
func (SecretKey) GoString() string           { return "[private]" }
func (SecretKey) Format(f fmt.State, _ rune) { io.WriteString(f, "[private]") }

// GenerateKey makes a new key pair out of 32 bytes of random.
func GenerateKey(random io.Reader) (PublicKey, SecretKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PublicKey{}, SecretKey{}, fmt.Errorf("random bytes for a new key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	id := blake2b.Sum256(private.Public().(ed25519.PublicKey))
	secret, err := ReadSecretKey(secretText(id[:8], private), nil)
	if err != nil {
		return PublicKey{}, SecretKey{}, err
	}
	public, err := secret.Public()
	return public, secret, err
}

// secretText is minisign's file form of an unencrypted secret key. Unlike the
// one that aead.dev/minisign renders it has the checksum, which the minisign
// program checks.
func secretText(id []byte, private ed25519.PrivateKey) []byte {
	raw := make([]byte, 158)
	copy(raw, "Ed\x00\x00B2")
	copy(raw[54:], id)
	copy(raw[62:], private)
	sum := blake2b.Sum256(append([]byte("Ed"), raw[54:126]...))
	copy(raw[126:], sum[:])
	return []byte(untrustedComment + "minisign encrypted secret key\n" + base64.StdEncoding.EncodeToString(raw) + "\n")
}

// ReadSecretKey reads a minisign secret key file. password is not looked at
// where the key is unencrypted.
func ReadSecretKey(text, password []byte) (SecretKey, error) {
	if len(text) > maxPublicKey {
		return SecretKey{}, malformed("secret key", "%d bytes, at most %d", len(text), maxPublicKey)
	}
	if !IsEncrypted(text) {
		var key aead.PrivateKey
		if err := key.UnmarshalText(text); err != nil {
			return SecretKey{}, malformed("secret key", "%v", err)
		}
		return SecretKey{key}, nil
	}
	key, err := aead.DecryptKey(string(password), text)
	if err != nil {
		return SecretKey{}, step.WithHint(fmt.Errorf("decrypt the secret key: %w", err), "is that the password of this key?")
	}
	return SecretKey{key}, nil
}

// IsEncrypted reports whether a secret key file wants a password.
func IsEncrypted(text []byte) bool { return aead.IsEncrypted(text) }

// Public is the public half.
func (s SecretKey) Public() (PublicKey, error) {
	public, ok := s.key.Public().(aead.PublicKey)
	if !ok {
		return PublicKey{}, malformed("secret key", "it has no public half")
	}
	key, err := ParsePublicKey([]byte(public.String()))
	return key.WithComment("minisign public key " + key.ID()), err
}

// Text is the unencrypted file form: for a development key, mode 0600.
func (s SecretKey) Text() ([]byte, error) {
	text, err := s.key.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("render the secret key: %w", err)
	}
	_, encoded, _ := bytes.Cut(text, []byte("\n"))
	raw, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil || len(raw) != 158 {
		return nil, malformed("secret key", "%d bytes, want 158", len(raw))
	}
	return secretText(raw[54:62], raw[62:126]), nil
}

// Encrypted is the password-protected file form. Making it takes minisign's
// 1 GiB of memory and some seconds, on purpose.
func (s SecretKey) Encrypted(password []byte) ([]byte, error) {
	if len(password) == 0 {
		return nil, fmt.Errorf("encrypt the secret key: the password is empty")
	}
	text, err := aead.EncryptKey(string(password), s.key)
	return append(text, '\n'), err
}

// Sign reads r to its end and signs it, pre-hashed, with the trusted comment.
func Sign(key SecretKey, r io.Reader, trusted, untrusted string) ([]byte, error) {
	for _, c := range []string{trusted, untrusted} {
		if !printable(c) {
			return nil, malformed("comment", "%q is not printable text in one line", c)
		}
	}
	hashed := aead.NewReader(r)
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return nil, fmt.Errorf("read what is to be signed: %w", err)
	}
	text := hashed.SignWithComments(key.key, trusted, untrusted)
	if len(text) > MaxSignature {
		return nil, malformed("comment", "the signature file would have %d bytes, at most %d", len(text), MaxSignature)
	}
	return text, nil
}
