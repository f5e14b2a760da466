package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The real minisign program is the judge in both directions. Where it is not
// installed these tests fail: a format that nobody else can read is no format.
func minisignProgram(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	program, err := exec.LookPath("minisign")
	if err != nil {
		t.Fatalf("%v (Debian package minisign)", err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMinisignVerifiesWhatWeSign(t *testing.T) {
	public, _ := key(t, 1)
	file := write(t, "f", []byte(content))
	sig := write(t, "s", sign(t, 1, content, comment1))
	pub := write(t, "p", public.Text())
	out, err := minisignProgram(t, "", "-V", "-H", "-p", pub, "-x", sig, "-m", file)
	if err != nil || !strings.Contains(out, "Trusted comment: "+comment1) {
		t.Errorf("got %v:\n%s", err, out)
	}
	other := write(t, "f", []byte(content+"!"))
	if out, err := minisignProgram(t, "", "-V", "-p", pub, "-x", sig, "-m", other); err == nil {
		t.Errorf("other contents: minisign accepts them:\n%s", out)
	}
}

func TestWeVerifyWhatMinisignSigns(t *testing.T) {
	dir := t.TempDir()
	pub, sec, file := dir+"/p", dir+"/s", write(t, "f", []byte(content))
	if out, err := minisignProgram(t, "", "-G", "-W", "-p", pub, "-s", sec); err != nil {
		t.Fatalf("minisign -G: %v\n%s", err, out)
	}
	keys := readPublic(t, pub)
	for _, form := range []struct {
		name, flag string
		streams    bool
	}{{"pre-hashed", "-H", true}, {"legacy", "-l", false}} {
		t.Run(form.name, func(t *testing.T) {
			sig := filepath.Join(dir, form.name)
			if out, err := minisignProgram(t, "", "-S", "-W", form.flag, "-s", sec, "-x", sig, "-t", comment1, "-m", file); err != nil {
				t.Fatalf("minisign -S: %v\n%s", err, out)
			}
			text, err := os.ReadFile(sig)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := keys.Whole([]byte(content), text); err != nil || got.Comment != comment1 {
				t.Errorf("whole: got %v, %v", got, err)
			}
			if _, err := stream(keys, content, text); (err == nil) != form.streams {
				t.Errorf("streamed: got %v", err)
			}
		})
	}
	text, err := os.ReadFile(sec)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := ReadSecretKey(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := Sign(secret, strings.NewReader(content), comment1, "by us")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := minisignProgram(t, "", "-V", "-p", pub, "-x", write(t, "x", sig), "-m", file); err != nil {
		t.Errorf("signed by us with minisign's secret key: %v\n%s", err, out)
	}
}

func readPublic(t *testing.T, path string) Keys {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := NewKeys(1, public)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestMinisignSignsWithOurUnencryptedKey(t *testing.T) {
	public, secret := key(t, 1)
	text, err := secret.Text()
	if err != nil {
		t.Fatal(err)
	}
	sec, file := write(t, "s", text), write(t, "f", []byte(content))
	sig, recreated := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "p")
	if out, err := minisignProgram(t, "", "-S", "-W", "-s", sec, "-x", sig, "-t", comment1, "-m", file); err != nil {
		t.Fatalf("minisign -S: %v\n%s", err, out)
	}
	if out, err := minisignProgram(t, "", "-R", "-s", sec, "-p", recreated); err != nil {
		t.Fatalf("minisign -R: %v\n%s", err, out)
	}
	if keys := readPublic(t, recreated); !keys.keys[0].SameKey(public) || keys.keys[0].ID() != public.ID() {
		t.Errorf("minisign makes of our secret key the public key %s, want %s", keys.keys[0], public)
	}
	text, err = os.ReadFile(sig)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream(trust(t, 1, 1), content, text); err != nil {
		t.Errorf("its signature: %v", err)
	}
}

// Both directions with a password: each scrypt takes 1 GiB and a second or
// four, as minisign made it.
func TestEncryptedKeysGoBothWays(t *testing.T) {
	dir := t.TempDir()
	pub, sec, file := dir+"/p", dir+"/s", write(t, "f", []byte(content))
	if out, err := minisignProgram(t, "geheim\ngeheim\n", "-G", "-p", pub, "-s", sec); err != nil {
		t.Fatalf("minisign -G: %v\n%s", err, out)
	}
	text, err := os.ReadFile(sec)
	if err != nil {
		t.Fatal(err)
	}
	if !IsEncrypted(text) {
		t.Fatal("minisign's key with a password is not seen as encrypted")
	}
	if _, err := ReadSecretKey(text, []byte("other")); err == nil {
		t.Error("a wrong password is accepted")
	}
	secret, err := ReadSecretKey(text, []byte("geheim"))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := secret.Encrypted([]byte("neu"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := minisignProgram(t, "neu\n", "-S", "-s", write(t, "s", ours), "-x", dir+"/x", "-t", comment1, "-m", file); err != nil {
		t.Fatalf("minisign -S with our encrypted key: %v\n%s", err, out)
	}
	sig, err := os.ReadFile(dir + "/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream(readPublic(t, pub), content, sig); err != nil {
		t.Error(err)
	}
	if _, err := secret.Encrypted(nil); err == nil {
		t.Error("an empty password is accepted")
	}
}
