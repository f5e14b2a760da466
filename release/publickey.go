package release

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jedisct1/go-minisign"
)

const (
	maxPublicKey     = 1 << 10
	untrustedComment = "untrusted comment: "
	trustedComment   = "trusted comment: "
)

// A PublicKey is a minisign public key with the comment of its file.
type PublicKey struct {
	key     minisign.PublicKey
	comment string
}

// ParsePublicKey reads the contents of a minisign public key file, or its one
// line of base64 alone.
func ParsePublicKey(text []byte) (PublicKey, error) {
	const what = "public key"
	if len(text) > maxPublicKey {
		return PublicKey{}, malformed(what, "%d bytes, at most %d", len(text), maxPublicKey)
	}
	s := strings.TrimRight(string(text), "\r\n")
	comment := ""
	if rest, ok := strings.CutPrefix(s, untrustedComment); ok {
		comment, s, ok = strings.Cut(rest, "\n")
		if !ok {
			return PublicKey{}, malformed(what, "the comment is not followed by a key")
		}
		comment = strings.TrimRight(comment, "\r")
	}
	if !printable(comment) {
		return PublicKey{}, malformed(what, "the comment is not printable text")
	}
	if strings.ContainsAny(s, "\r\n") {
		return PublicKey{}, malformed(what, "more lines than a comment and a key")
	}
	key, err := minisign.NewPublicKey(s)
	if err != nil {
		return PublicKey{}, malformed(what, "not base64 of 42 bytes")
	}
	if key.SignatureAlgorithm != [2]byte{'E', 'd'} {
		return PublicKey{}, malformed(what, "algorithm %q, want \"Ed\"", key.SignatureAlgorithm[:])
	}
	return PublicKey{key, comment}, nil
}

// ID is the key's id as minisign prints it. Anyone can edit it.
func (k PublicKey) ID() string { return idText(k.key.KeyId) }

// Comment is the untrusted comment of the key's file.
func (k PublicKey) Comment() string { return k.comment }

// SameKey reports whether two keys are one: the same 32 key bytes.
func (k PublicKey) SameKey(other PublicKey) bool { return k.key.PublicKey == other.key.PublicKey }

// IsDevelopment reports whether the key's file says that it is a development
// key, whose secret half lies unencrypted on some machine.
func (k PublicKey) IsDevelopment() bool { return strings.Contains(k.comment, DevelopmentComment) }

// DevelopmentComment in a public key's comment marks a development key.
const DevelopmentComment = "psyopsOS development key"

// WithComment is the same key with another comment for its file.
func (k PublicKey) WithComment(comment string) PublicKey {
	k.comment = comment
	return k
}

// Text is the key in the form of minisign's public key file.
func (k PublicKey) Text() []byte {
	raw := append(append(append([]byte(nil), k.key.SignatureAlgorithm[:]...), k.key.KeyId[:]...), k.key.PublicKey[:]...)
	return []byte(untrustedComment + k.comment + "\n" + base64.StdEncoding.EncodeToString(raw) + "\n")
}

func (k PublicKey) String() string { return "minisign key " + k.ID() }

func idText(id [8]byte) string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }

// printable reports whether s is text that a terminal can show: UTF-8 without
// control characters.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0xfffd }) < 0
}
