package release

import (
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/jedisct1/go-minisign"
)

// MaxSignature is the size in bytes up to which a signature file is read.
const MaxSignature = 8 << 10

// legacy and prehashed are minisign's two algorithms.
func legacy() [2]byte    { return [2]byte{'E', 'd'} }
func prehashed() [2]byte { return [2]byte{'E', 'D'} }

// parseSignature reads a signature file: four lines, no more.
func parseSignature(text []byte) (minisign.Signature, error) {
	const what = "signature file"
	var none minisign.Signature
	if len(text) > MaxSignature {
		return none, malformed(what, "%d bytes, at most %d", len(text), MaxSignature)
	}
	s := strings.TrimSuffix(string(text), "\n")
	if n := strings.Count(s, "\n") + 1; n != 4 {
		return none, malformed(what, "%d lines, want 4", n)
	}
	for i, line := range strings.Split(s, "\n") {
		if i%2 == 1 && !canonicalBase64(line) {
			return none, malformed(what, "line %d is not base64 in its one form", i+1)
		}
	}
	sig, err := minisign.DecodeSignature(s)
	if err != nil {
		return none, malformed(what, "%v", err)
	}
	if !strings.HasPrefix(sig.UntrustedComment, untrustedComment) {
		return none, malformed(what, "line 1 does not begin with %q", untrustedComment)
	}
	if !strings.HasPrefix(sig.TrustedComment, trustedComment) {
		return none, malformed(what, "line 3 does not begin with %q", trustedComment)
	}
	// The minisign program's own comments have tabs between their words.
	if !printable(strings.ReplaceAll(sig.TrustedComment, "\t", " ")) {
		return none, malformed(what, "the trusted comment is not printable text")
	}
	if sig.SignatureAlgorithm != legacy() && sig.SignatureAlgorithm != prehashed() {
		return none, malformed(what, "algorithm %q, want \"ED\" or \"Ed\"", sig.SignatureAlgorithm[:])
	}
	return sig, nil
}

// canonicalBase64 refuses what decodes to the same bytes as another text does:
// in the last letters before the padding a few bits say nothing, and whoever
// flips them should be seen.
func canonicalBase64(line string) bool {
	decoded, err := base64.StdEncoding.DecodeString(line)
	return err == nil && base64.StdEncoding.EncodeToString(decoded) == line
}

// comment is the trusted comment without its label.
func comment(sig minisign.Signature) string {
	return strings.TrimPrefix(sig.TrustedComment, trustedComment)
}

// vouches reports whether key signed sig's trusted comment.
func vouches(key PublicKey, sig minisign.Signature) bool {
	message := append(slices.Clone(sig.Signature[:]), comment(sig)...)
	return ed25519.Verify(key.key.PublicKey[:], message, sig.GlobalSignature[:])
}

// A vote is a signature file whose comment a trusted key vouches for.
type vote struct {
	key PublicKey
	sig minisign.Signature
}

// votes parses signature files and finds the trusted key behind each one's
// comment. What is wrong with the others comes back beside the votes.
func (k Keys) votes(files [][]byte) (good []vote, bad []error) {
	for _, text := range files {
		if len(text) == 0 {
			continue
		}
		v, err := k.vote(text)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		good = append(good, v)
	}
	return good, bad
}

func (k Keys) vote(text []byte) (vote, error) {
	sig, err := parseSignature(text)
	if err != nil {
		return vote{}, err
	}
	if k.anyone {
		return vote{sig: sig}, nil
	}
	candidates := k.candidates(sig.KeyId)
	if len(candidates) == 0 {
		return vote{}, &NotTrustedError{idText(sig.KeyId), k.ids()}
	}
	for _, key := range candidates {
		if vouches(key, sig) {
			return vote{key, sig}, nil
		}
	}
	return vote{}, &CommentAlteredError{idText(sig.KeyId)}
}

// count says what good votes amount to: the comment they all vouch for and
// the different keys behind it, or why that is not enough.
func (k Keys) count(good []vote, bad []error) (Vouched, error) {
	if len(good)+len(bad) == 0 {
		return Vouched{}, ErrUnsigned
	}
	var result Vouched
	for i, v := range good {
		if i == 0 {
			result.Comment = comment(v.sig)
		} else if comment(v.sig) != result.Comment {
			return Vouched{}, &CommentsDifferError{result.Comment, comment(v.sig)}
		}
		if !slices.ContainsFunc(result.By, v.key.SameKey) {
			result.By = append(result.By, v.key)
		}
	}
	want := max(1, k.threshold)
	if len(result.By) >= want {
		return result, nil
	}
	if want == 1 && len(bad) == 1 {
		return Vouched{}, bad[0]
	}
	return Vouched{}, &TooFewError{len(result.By), want, bad}
}
