package release

import (
	"errors"
	"os"
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

func TestAStreamRefusesALegacySignature(t *testing.T) {
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
	if err := streamed(readPublic(t, pub), content, text); !errors.Is(err, ErrLegacy) {
		t.Errorf("got %v, want %v", err, ErrLegacy)
	}
}
