package release

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"math/big"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestAStreamIsVerifiedWhateverItsCommentSays(t *testing.T) {
	const comment = "timestamp:1 file:notes.txt hashed"
	_, one := key(t, 1)
	_, two := key(t, 2)
	by := func(s SecretKey, comment string) []byte {
		t.Helper()
		sig, err := Sign(s, strings.NewReader(content), comment, "by us")
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	both := trust(t, 2, 1, 2)
	v, err := both.Stream(strings.NewReader(content), by(one, comment), by(two, comment))
	if err != nil || v.Comment != comment || len(v.By) != 2 {
		t.Errorf("got %v, %v", v, err)
	}
	for name, got := range map[string]error{
		"one signature of two":                streamed(both, content, by(one, comment)),
		"one signature twice":                 streamed(both, content, by(one, comment), by(one, comment)),
		"two comments":                        streamed(both, content, by(one, comment), by(two, "another")),
		"other contents":                      streamed(both, content+"!", by(one, comment), by(two, comment)),
		"a key that is not trusted":           streamed(trust(t, 1, 2), content, by(one, comment)),
		"no signature":                        streamed(both, content),
		"a comment that its key did not sign": streamed(trust(t, 1, 1), content, []byte(strings.Replace(string(by(one, comment)), "notes", "other", 1))),
	} {
		if got == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func streamed(k Keys, content string, sigs ...[]byte) error {
	_, err := k.Stream(strings.NewReader(content), sigs...)
	return err
}

func TestAStreamTakesALegacySignature(t *testing.T) {
	dir := t.TempDir()
	pub, sec, sig, file := dir+"/p", dir+"/s", dir+"/x", write(t, "f", []byte(content))
	for _, args := range [][]string{{"-G", "-W", "-p", pub, "-s", sec}, {"-S", "-W", "-l", "-s", sec, "-x", sig, "-m", file}} {
		if out, err := minisignProgram(t, "", args...); err != nil {
			t.Fatalf("minisign %v: %v\n%s", args, err, out)
		}
	}
	text, err := os.ReadFile(sig)
	if err != nil {
		t.Fatal(err)
	}
	keys := readPublic(t, pub)
	if err := streamed(keys, content, text); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"", content[1:], content + "!", strings.ToUpper(content)} {
		if err := streamed(keys, other, text); !errors.As(err, new(*BadSignatureError)) {
			t.Errorf("%q: got %v", other, err)
		}
	}
}

// One person's minisign pre-hashes and the other's does not.
func TestBothKindsOfSignaturesCountTogether(t *testing.T) {
	_, one := key(t, 1)
	old, hashed := legacySign(one, content, comment1), sign(t, 2, content, comment1)
	keys := trust(t, 2, 1, 2)
	if v, err := keys.Stream(strings.NewReader(content), old, hashed); err != nil || len(v.By) != 2 {
		t.Errorf("got %v, %v", v, err)
	}
	if err := streamed(keys, content+"!", old, hashed); err == nil {
		t.Error("other contents: accepted")
	}
	if info, err := stream(keys, content, hashed, old); err != nil || info.Comment() != comment1 {
		t.Errorf("got %v, %v", info, err)
	}
}

// FuzzHashed holds our half of Ed25519 against the standard library's whole.
func FuzzHashed(f *testing.F) {
	public, private, err := ed25519.GenerateKey(rand.New(rand.NewSource(1)))
	if err != nil {
		f.Fatal(err)
	}
	good := ed25519.Sign(private, []byte(content))
	// The same signature with S + L, which RFC 8032 refuses.
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(good[32:])
	slices.Reverse(s)
	more := new(big.Int).Add(new(big.Int).SetBytes(s), l).FillBytes(make([]byte, 32))
	slices.Reverse(more)
	f.Add([]byte(public), good, []byte(content))
	f.Add([]byte(public), slices.Concat(good[:32], more), []byte(content))
	f.Add(make([]byte, 32), make([]byte, 64), []byte(content)) // a point of small order
	f.Add(bytes.Repeat([]byte{0xff}, 32), good, []byte(content))
	f.Fuzz(func(t *testing.T, public, signature, message []byte) {
		if len(public) != 32 || len(signature) != 64 {
			return
		}
		sum := sha512.Sum512(slices.Concat(signature[:32], public, message))
		got, want := verifyHashed([32]byte(public), [64]byte(signature), sum[:]), ed25519.Verify(public, message, signature)
		if got != want {
			t.Errorf("got %v, crypto/ed25519 says %v", got, want)
		}
	})
}
