package release

import (
	"encoding/base64"
	"testing"

	aead "aead.dev/minisign"
)

func decode(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func encode(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func legacySign(s SecretKey, file, comment string) []byte {
	return aead.SignWithComments(s.key, []byte(file), comment, "legacy")
}
